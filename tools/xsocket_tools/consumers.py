"""Consumers: threads that claim connections from a pool, each in its own way, and answer what peers send."""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Final

from xsocket import Connection, ConnectionPool, FourTuple, Pattern, PoolClosed, XsocketError

Answer = Callable[[bytes], bytes]
"""What a consumer sends back for all that the peer sent."""

Pool = ConnectionPool[Connection]

_CHUNK: Final = 65_536


def echo(text: bytes) -> bytes:
    """Return *text*."""
    return text


class Consumer(ABC):
    """One thread that claims until the pool closes, and notes what it got.

    Args:
        name: What the report calls it.
        pool: Where from.
        answer: Made of each peer's whole text.
        patience_s: How long a peer may keep it waiting.

    Attributes:
        claimed: The 4-tuples it was handed, in order.
        troubles: What went wrong, in words.
    """

    def __init__(self, name: str, pool: Pool, answer: Answer, patience_s: float) -> None:
        self.name = name
        self.claimed: list[FourTuple] = []
        self.troubles: list[str] = []
        self._pool = pool
        self._answer = answer
        self._patience_s = patience_s
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    @abstractmethod
    def claims_at_once(self) -> int:
        """How many claims it places before the first connection comes."""

    @property
    @abstractmethod
    def way(self) -> str:
        """How it claims, in words."""

    @abstractmethod
    def _run(self) -> None: ...

    def start(self) -> None:
        """Begin to claim."""
        self._thread.start()

    def join(self, timeout_s: float) -> None:
        """Wait for the end of its thread, which comes when the pool is closed."""
        self._thread.join(timeout_s)


class WaitingConsumer(Consumer):
    """Claims one connection after the other: by pattern, or whichever is next."""

    def __init__(
        self, name: str, pool: Pool, answer: Answer, patience_s: float, wanted: Pattern | None = None
    ) -> None:
        super().__init__(name, pool, answer, patience_s)
        self._wanted = wanted

    @property
    def claims_at_once(self) -> int:
        """One, for it serves a connection before it claims the next."""
        return 1

    @property
    def way(self) -> str:
        """How it claims, in words."""
        return "whichever is next" if self._wanted is None else repr(self._wanted)

    def _run(self) -> None:
        while True:
            try:
                connection = self._pool.claim(self._wanted)
            except PoolClosed:
                return
            self.claimed.append(connection.four_tuple)
            try:
                self._serve(connection)
            except OSError as error:
                self.troubles.append(str(error))

    def _serve(self, connection: Connection) -> None:
        with connection:
            connection.settimeout(self._patience_s)
            text = bytearray()
            while piece := connection.recv(_CHUNK):
                text += piece
            connection.sendall(self._answer(bytes(text)))


class ExactConsumer(Consumer):
    """Claims 4-tuples known beforehand, one asyncio task for each, all of them before their SYNs."""

    def __init__(
        self, name: str, pool: Pool, answer: Answer, patience_s: float, keys: Sequence[FourTuple]
    ) -> None:
        super().__init__(name, pool, answer, patience_s)
        self._keys = keys

    @property
    def claims_at_once(self) -> int:
        """One for each 4-tuple."""
        return len(self._keys)

    @property
    def way(self) -> str:
        """How it claims, in words."""
        return f"{len(self._keys)} exact 4-tuples, before the SYN"

    def _run(self) -> None:
        asyncio.run(self._claim_each())

    async def _claim_each(self) -> None:
        async with asyncio.TaskGroup() as group:
            for key in self._keys:
                group.create_task(self._claim(key))

    async def _claim(self, key: FourTuple) -> None:
        try:
            connection = await self._pool.claim_async(key)
        except PoolClosed:
            return
        except XsocketError as error:
            self.troubles.append(str(error))
            return
        self.claimed.append(connection.four_tuple)
        try:
            await self._serve(connection)
        except OSError as error:
            self.troubles.append(str(error))

    async def _serve(self, connection: Connection) -> None:
        async with connection:
            connection.settimeout(self._patience_s)
            text = bytearray()
            while piece := await connection.recv_async(_CHUNK):
                text += piece
            await connection.sendall_async(self._answer(bytes(text)))
