"""Managing local accounts."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime

from gristmill.auth.passwords import Passwords, generate_password
from gristmill.errors import Conflict, Forbidden, InvalidInput
from gristmill.identity import Role
from gristmill.ports import User, UserStore

__all__ = ["ADMIN", "Users", "check_username", "ensure_admin", "is_username"]

ADMIN = "admin"
_USERNAME = re.compile(r"[\w.@+-]{1,128}")


def check_username(name: str) -> str:
    """`name` if an account may have it; InvalidInput."""
    if not is_username(name):
        raise InvalidInput(
            f"{name[:60]!r} cannot name a user: 1 to 128 letters, digits, '.', '_', '@', '+' or '-'"
        )
    return name


def is_username(name: str) -> bool:
    """Whether an account may have this name."""
    return _USERNAME.fullmatch(name) is not None and unicodedata.normalize("NFC", name) == name


class Users:
    """What an administrator does with accounts.

    A new password, a new role and removal revoke the user's tokens.
    """

    def __init__(self, store: UserStore, passwords: Passwords) -> None:
        self._store = store
        self._passwords = passwords

    async def add(self, name: str, password: str, role: Role) -> User:
        """A new account; InvalidInput, Conflict."""
        check_username(name)
        hashed = await self._passwords.hash(password)
        user = User(name=name, role=role, password_hash=hashed, created=datetime.now(UTC))
        await self._store.add(user)
        return user

    async def all(self) -> list[User]:
        """Every account, by name."""
        return await self._store.all()

    async def set_password(self, name: str, password: str) -> None:
        """InvalidInput, NotFound."""
        await self._store.set_password(name, await self._passwords.hash(password))

    async def set_role(self, name: str, role: Role) -> None:
        """NotFound; Forbidden for `admin`."""
        self._refuse_admin(name, "stays owner")
        await self._store.set_role(name, role)

    async def remove(self, name: str) -> None:
        """The user's services and snapshots stay. NotFound; Forbidden for `admin`."""
        self._refuse_admin(name, "cannot be removed")
        await self._store.remove(name)

    def _refuse_admin(self, name: str, what: str) -> None:
        if name == ADMIN:
            raise Forbidden(f"the account {ADMIN!r} {what}: it is the way back in")


async def ensure_admin(store: UserStore, passwords: Passwords, configured: str | None) -> str | None:
    """Make the account `admin` if it is missing; the password if one had to be generated.

    `configured`, from GRISTMILL_ADMIN_PASSWORD, is the password of a new account; of one that exists it
    replaces the password if it differs, at each start, and so revokes the tokens issued under the old one.
    Raises InvalidInput if it may not be set.
    """
    users = Users(store, passwords)
    admin = await store.get(ADMIN)
    if admin is None:
        password = configured or generate_password()
        try:
            await users.add(ADMIN, password, Role.OWNER)
        except Conflict:  # another node is starting, too
            return await ensure_admin(store, passwords, configured)
        return None if configured else password
    if configured and not await passwords.matches(admin.password_hash, configured):
        await users.set_password(ADMIN, configured)
    return None
