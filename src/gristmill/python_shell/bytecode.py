"""Whether this version of Python can have compiled a function.

Instructions of another version end the process when they are run, or do something else. A pickle does not say
what made it, so that the instructions themselves are looked at: do they exist here, does each bring the cache
entries that it has here, and are those there that every function has. They are looked at as bytes, since a
code object made of them shows them as this version reads them.
"""

from __future__ import annotations

import dis
import inspect
from typing import Dict, Optional

__all__ = ["may_be_ours"]

_RESUME = dis.opmap.get("RESUME")  # from 3.11 on each function starts with it
_INTRINSIC = dis.opmap.get("CALL_INTRINSIC_1")  # from 3.12 on each generator ends with it, unless a lambda
_COMPARE = dis.opmap["COMPARE_OP"]
_GENERATORS = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


def _cache_entries() -> Dict[int, int]:
    """How many entries follow each instruction, by its number; none where there are no caches."""
    entries = getattr(dis, "_inline_cache_entries", None) or {}
    if not isinstance(entries, dict):
        entries = {dis.opname[number]: count for number, count in enumerate(entries)}
    return {number: entries.get(name, 0) for name, number in dis.opmap.items() if name != "CACHE"}


_CACHES = _cache_entries()


def may_be_ours(words: bytes, flags: int, name: str) -> bool:
    """False when another version compiled them: a code object's `co_code`, `co_flags` and `co_name`.

    A few short functions are the same in two versions.
    """
    found = set()
    if len(words) % 2:
        return False
    at = 0
    while at < len(words):
        instruction, argument = words[at], words[at + 1]
        caches: Optional[int] = _CACHES.get(instruction)
        after = at + 2
        if caches is None or (instruction == _COMPARE and not caches and argument >= len(dis.cmp_op)):
            return False
        at = after + 2 * caches
        if at > len(words) or any(words[after:at]):
            return False
        found.add(instruction)
    generates = bool(flags & _GENERATORS) and name != "<lambda>"
    return (_RESUME is None or _RESUME in found) and (
        _INTRINSIC is None or not generates or _INTRINSIC in found
    )
