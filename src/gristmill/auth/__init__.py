"""Who is calling: local accounts, their passwords and tokens."""

from gristmill.auth.accounts import Accounts, Lifetimes
from gristmill.auth.keys import SigningKey, load_or_create_key, read_key
from gristmill.auth.passwords import Passwords, generate_password
from gristmill.auth.tokens import TokenPair
from gristmill.auth.users import ADMIN, Users, ensure_admin

__all__ = [
    "ADMIN",
    "Accounts",
    "Lifetimes",
    "Passwords",
    "SigningKey",
    "TokenPair",
    "Users",
    "ensure_admin",
    "generate_password",
    "load_or_create_key",
    "read_key",
]
