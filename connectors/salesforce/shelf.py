"""Items sorted into heaps by key, in memory while they are few and in unnamed temporary files beyond: memory does not grow with the account.

Bulk gives history rows in no order. Rows of one key end up in one heap, so that each heap can be worked through by itself.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import IO
from zlib import crc32

import msgspec

_HEAP_ITEMS = 8_000
_MOST_HEAPS = 256
_MOST_BYTES = 12_000_000
#: What an item takes besides its bytes.
_OVERHEAD = 60

_unpack = msgspec.msgpack.Decoder(list[bytes]).decode
_pack = msgspec.msgpack.Encoder().encode


class Shelf:
    """`add` items, then go through `heaps` once. The files have no name: nothing is left behind, even by a kill."""

    def __init__(self, expected: int) -> None:
        count = min(_MOST_HEAPS, expected // _HEAP_ITEMS + 1)
        self._heaps: list[list[bytes]] = [[] for _ in range(count)]
        self._files: list[IO[bytes]] = []
        self._bytes = 0

    def add(self, key: str, item: bytes) -> None:
        """Put an item on the heap of its key."""
        self._heaps[crc32(key.encode()) % len(self._heaps)].append(item)
        self._bytes += len(item) + _OVERHEAD
        if self._bytes > _MOST_BYTES:
            self._spill()

    def heaps(self) -> Iterator[list[bytes]]:
        """Every heap whole; items of one key are in one of them, in the order in which they came."""
        if self._files:
            self._spill()
        for number in range(len(self._heaps)):
            if self._files:
                with self._files[number] as file:
                    yield _read(file)
            else:
                heap, self._heaps[number] = self._heaps[number], []
                yield heap

    def _spill(self) -> None:
        if not self._files:
            self._files = [tempfile.TemporaryFile() for _ in self._heaps]  # noqa: SIM115 - closed when its heap is read
        for heap, file in zip(self._heaps, self._files, strict=True):
            if heap:
                packed = _pack(heap)
                file.write(len(packed).to_bytes(8, "big") + packed)
                heap.clear()
        self._bytes = 0


def _read(file: IO[bytes]) -> list[bytes]:
    file.seek(0)
    found: list[bytes] = []
    while size := file.read(8):
        found += _unpack(file.read(int.from_bytes(size, "big")))
    return found
