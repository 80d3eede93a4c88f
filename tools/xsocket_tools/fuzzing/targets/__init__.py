"""What cases can be put to, each a `xsocket_tools.fuzzing.target.Target`."""
