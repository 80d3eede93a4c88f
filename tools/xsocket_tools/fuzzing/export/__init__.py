"""Cases for others to read and run: as scripts of ours, and as captures."""

from xsocket_tools.fuzzing.export.captures import write_pcapng
from xsocket_tools.fuzzing.export.script import Exported, exported, script_of

__all__ = ["Exported", "exported", "script_of", "write_pcapng"]
