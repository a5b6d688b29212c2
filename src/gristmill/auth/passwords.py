"""Hashing of passwords by argon2id, off the event loop and never more than two at a time."""

from __future__ import annotations

import asyncio
import secrets
import unicodedata
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from gristmill.errors import InvalidInput, Overloaded

__all__ = ["WAITING", "Passwords", "check_password", "generate_password"]

T = TypeVar("T")
#: Each hash takes this much memory while it is computed (KiB), and some 40 ms.
MEMORY_KIB = 19 * 1024
PASSES = 3
AT_ONCE = 2
#: Logins that may wait for their turn: some two seconds' worth.
WAITING = 100


def check_password(password: str) -> str:
    """`password` if it is fit to be set; InvalidInput."""
    if not 8 <= len(password) <= 1024:
        raise InvalidInput("a password has 8 to 1024 characters")
    if _bytes(password) is None or "\x00" in password:
        raise InvalidInput("the password holds a character that cannot be stored")
    return password


def generate_password() -> str:
    """A strong one: 144 random bits in 24 letters, digits, '-' and '_'."""
    return secrets.token_urlsafe(18)


class Passwords:
    """Computes and compares hashes."""

    def __init__(self, *, memory_kib: int = MEMORY_KIB, passes: int = PASSES) -> None:
        self._hasher = PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=1)
        #: A hash that no password has, and that costs what a real one costs.
        self._nobody = f"$argon2id$v=19$m={memory_kib},t={passes},p=1${'A' * 22}${'A' * 43}"
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="argon2")
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for one of the two turns; Overloaded when too many wait already."""
        if self._waiting >= WAITING:
            raise Overloaded("too many logins at once; try again shortly")
        self._waiting += 1
        try:
            await self._turns.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._turns.release()

    async def hash(self, password: str) -> str:
        """The encoded hash, with a new salt; InvalidInput for a password that may not be set."""
        secret = _bytes(check_password(password))
        assert secret is not None
        return await self._run(self._hasher.hash, secret)

    async def matches(self, known: str | None, password: str) -> bool:
        """Whether `password` has the hash `known`; None, for an unknown user, takes as long."""
        secret = _bytes(password) if len(password) <= 1024 else None
        right = await self._run(self._verify, known or self._nobody, secret or b"")
        return right and known is not None and secret is not None

    def outdated(self, known: str) -> bool:
        """Whether `known` was made with other parameters than are in use now."""
        return self._hasher.check_needs_rehash(known)

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False)

    def _verify(self, known: str, secret: bytes) -> bool:
        try:
            return self._hasher.verify(known, secret)
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, function: Callable[..., T], *arguments: str | bytes) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)


def _bytes(password: str) -> bytes | None:
    """The same for all spellings of one text that keyboards send; None if it is no text."""
    try:
        return unicodedata.normalize("NFC", password).encode()
    except UnicodeEncodeError:
        return None
