"""Cases for others to read and run: as scripts of ours, and as captures."""

from xsocket_tools.fuzzing.export.captures import write_pcapng
from xsocket_tools.fuzzing.export.files import files_of, write_files
from xsocket_tools.fuzzing.export.script import Exported, exported

__all__ = ["Exported", "exported", "files_of", "write_files", "write_pcapng"]
