"""How much may wait to be scored."""

from __future__ import annotations

from gristmill.errors import Overloaded

__all__ = ["Waiting"]


class Waiting:
    """What all models of a node have waiting, in bytes of bodies and tensors; bounded."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.bytes = 0

    def add(self, size: int) -> None:
        """Count so many bytes, until they are taken off `bytes`. Raises Overloaded where that is too much."""
        if self.bytes + size > self._most and self.bytes:
            raise Overloaded(
                f"rows of {self.bytes / 2**20:.0f} MiB wait to be scored, and no more fit; try again soon",
                retry_after=1.0,
            )
        self.bytes += size
