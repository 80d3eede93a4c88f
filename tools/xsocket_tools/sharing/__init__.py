"""Commands about pools that processes share: the server that runs for long, what looks on, what claims."""
