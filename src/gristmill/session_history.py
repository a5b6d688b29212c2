"""What a session keeps of the code that it has run, bounded in bytes."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator

__all__ = ["History"]

#: Of one session in all, and of one execution: bytes of memory.
_MOST_BYTES, _LONGEST_BYTES = 4 << 20, 1 << 20
_MOST_ENTRIES = 10_000


class History:
    """The code of the last executions, oldest first.

    Where something is missing a comment says so, which both languages read as one: as the first entry, if
    whole executions are, and as the last line of an entry of which only the beginning is kept.
    """

    def __init__(self) -> None:
        self._entries: deque[str] = deque()
        self._bytes = 0
        self._dropped = 0

    def add(self, code: str) -> None:
        """Note an execution; the oldest ones go where there is no room."""
        code = _beginning(code)
        self._entries.append(code)
        self._bytes += sys.getsizeof(code)
        while self._bytes > _MOST_BYTES or len(self._entries) > _MOST_ENTRIES:
            self._bytes -= sys.getsizeof(self._entries.popleft())
            self._dropped += 1

    def __iter__(self) -> Iterator[str]:
        if self._dropped:
            yield f"# {self._dropped:,} earlier executions are no longer kept"
        yield from self._entries


def _beginning(code: str) -> str:
    """Code as it is, or as much of it as one entry may take, with a last line that says so."""
    size = sys.getsizeof(code)
    if size <= _LONGEST_BYTES:
        return code
    kept = code[: len(code) * _LONGEST_BYTES // size]
    return f"{kept}\n# {len(code) - len(kept):,} more characters of this execution are not kept"
