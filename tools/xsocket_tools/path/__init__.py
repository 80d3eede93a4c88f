"""Paths: what lies between two hosts of a lab. Impairments and middleboxes, as objects, carried by a program.

`element.py` says what an element is, `live.py` puts them on a link.
"""

from xsocket_tools.path.element import Chain, Element, Middlebox
from xsocket_tools.path.errors import BadElementError, CaptureFileError, PathBrokenError, PathTimeoutError
from xsocket_tools.path.impairments import Impair, LimitMtu, Lose, LoseBursts
from xsocket_tools.path.live import Path
from xsocket_tools.path.nat import Nat
from xsocket_tools.path.parcel import Parcel, Seen, Towards
from xsocket_tools.path.resets import ForgetfulFirewall, InjectReset, Stranger
from xsocket_tools.path.sequence import RewriteSequence
from xsocket_tools.path.stripping import ClampMss, StripOptions
from xsocket_tools.path.synproxy import SynProxy
from xsocket_tools.path.table import WhenFull
from xsocket_tools.path.which import Which

__all__ = [
    "BadElementError",
    "CaptureFileError",
    "Chain",
    "ClampMss",
    "Element",
    "ForgetfulFirewall",
    "Impair",
    "InjectReset",
    "LimitMtu",
    "Lose",
    "LoseBursts",
    "Middlebox",
    "Nat",
    "Parcel",
    "Path",
    "PathBrokenError",
    "PathTimeoutError",
    "RewriteSequence",
    "Seen",
    "Stranger",
    "StripOptions",
    "SynProxy",
    "Towards",
    "WhenFull",
    "Which",
]
