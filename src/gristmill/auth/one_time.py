"""A password of `admin` for the scripts that publish while the server starts; it is in memory only."""

from __future__ import annotations

import hashlib
import hmac
import secrets

from gristmill.auth.users import ADMIN

__all__ = ["OneTimePassword"]


class OneTimePassword:
    """256 random bits, so that neither a slow hash nor a lockout is needed."""

    def __init__(self) -> None:
        self.text = secrets.token_urlsafe(32)
        self._digest = hashlib.sha256(self.text.encode()).digest()
        #: Logins that were made by it; they end with it.
        self.families: set[str] = set()

    def matches(self, username: str, password: str) -> bool:
        """Whether this is what was sent; in a time that says nothing of how much of it was right."""
        sent = hashlib.sha256(password.encode("utf-8", "surrogatepass")).digest()
        return hmac.compare_digest(sent, self._digest) and username == ADMIN
