"""What can go wrong with a path, beside what goes wrong with labs and Links."""

from xsocket.errors import BadConfigError, EnvironmentRefusedError, WaitError


class BadElementError(BadConfigError):
    """An element of a path was given a value outside its range."""

    remedy = "`xsocket lab up --help` and the reference of paths say each value's unit and range."


class PathBrokenError(EnvironmentRefusedError):
    """What carries the frames of a path has ended before its time."""

    remedy = "Remove the lab and make it again; if it happens again, report it as a bug."


class PathTimeoutError(WaitError):
    """What carries the frames of a path did not begin or end in time."""

    remedy = "Look at what else the machine is busy with, and try again."


class CaptureFileError(EnvironmentRefusedError):
    """A capture cannot be written where it was asked for."""

    remedy = "Name a directory that this user may write to."
