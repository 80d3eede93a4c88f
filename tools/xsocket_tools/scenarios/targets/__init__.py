"""Where a script can run: the engine in virtual time, the engine on a link, Linux."""
