"""What a database driver's errors mean: to callers, and, at a start, to the administrator."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import sqlalchemy as sa
import structlog
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from gristmill import disk
from gristmill.errors import GristmillError, InvalidInput
from gristmill.ports import DatabaseDamaged, StateUnavailable, StorageFull

__all__ = ["Translated", "damaged", "not_started", "overdue"]

log = structlog.get_logger("gristmill.db.engine")

#: What the driver says of a text that is none, before it shows it.
_GARBLED = "Could not decode to UTF-8"
_AWAY = "the database does not answer; try again shortly"
#: Primary result codes of SQLite (sqlite.org/rescode.html).
_SQLITE_IOERR, _SQLITE_CORRUPT, _SQLITE_FULL, _SQLITE_NOTADB = 10, 11, 13, 26
#: SQLSTATE of PostgreSQL's disk_full, and of its password errors (errcodes-appendix in its manual).
_PG_DISK_FULL = "53100"
_HINTS = (
    (
        r"password authentication failed|no password supplied|authentication failed",
        "check the user's password",
    ),
    (r'database "[^"]*" does not exist', "create it first, with createdb for instance"),
    (r'role "[^"]*" does not exist', "create the user first, with createuser for instance"),
    (
        r"resolve host|could not translate host|name or service not known|temporary failure in name",
        "check the host's name",
    ),
    (r"connection refused|no such file", "check host and port, and that PostgreSQL runs there"),
    (r"timeout expired|timed out|no route|unreachable", "check host and port, and what lies between"),
    (r"invalid connection option|invalid uri|invalid .* value", "check what follows the '?' in the URL"),
    (r"permission denied", "give the user the rights to it"),
    (r"ssl|certificate", "check sslmode and the certificates in the URL"),
    (r"too many (clients|connections)|remaining connection slots", "raise max_connections, or stop others"),
)


class Translated:
    """A context in which drivers' errors become ours; their text, which may name hosts, goes to the log.

    `file` is that of a SQLite database, None for a server's. Where it is `quiet`, nothing is logged: whoever
    gets the error tells all.
    """

    def __init__(self, file: Path | None, *, quiet: bool = False) -> None:
        self._file = file
        self._quiet = quiet

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, (UnicodeEncodeError, DataError)):
            raise InvalidInput(
                "a text holds a character that cannot be stored: NUL, or half of a pair"
            ) from error
        if isinstance(error, OSError) and not isinstance(error, TimeoutError):
            raise StateUnavailable(_AWAY) from error
        if self._file is not None and _is_garbled(error):
            assert error is not None
            raise damaged(self._file, _text(error)) from error
        if isinstance(error, IntegrityError) or not isinstance(error, (DBAPIError, PoolTimeout)):
            return
        if not self._quiet:
            log.error("database_failed", reason=_text(error))
        raise self._meaning(error) from error

    def _meaning(self, error: DBAPIError | PoolTimeout) -> StateUnavailable:
        if _sqlstate(error) == _PG_DISK_FULL:
            return StorageFull("the disk of the database server is full: make room on it")
        if self._file is None:
            return StateUnavailable(_AWAY)
        code = _sqlite_code(error)
        if code == _SQLITE_FULL:
            return disk.full(self._file.parent, "what the database is to keep")
        if code in {_SQLITE_CORRUPT, _SQLITE_NOTADB}:
            return damaged(self._file, _text(error))
        if code == _SQLITE_IOERR:
            return StateUnavailable(
                f"the database file {self._file} cannot be read or written now ({_text(error)}); "
                "try again shortly"
            )
        return StateUnavailable(_AWAY)


def damaged(file: Path, why: str) -> DatabaseDamaged:
    """The error for a SQLite file that is damaged, or is none, and how to go on."""
    if "not a database" in why:
        return DatabaseDamaged(
            f"{file} is no SQLite database, or its first page is damaged: stop the server, move the file "
            "with its -wal and -shm aside, and put back a backup of it"
        )
    saving = f"sqlite3 {file} .dump | sed 's/^ROLLBACK.*/COMMIT;/' | sqlite3 saved.db"
    return DatabaseDamaged(
        f"the database file {file} is damaged ({why}): stop the server and put back a backup of it, or save "
        f"what can be read with `{saving}`, and use that in its place"
    )


def overdue(seconds: float) -> StateUnavailable:
    """The error for a database that has not answered within `seconds`."""
    log.error("database_failed", reason=f"no answer within {seconds:g} s")
    return StateUnavailable(_AWAY)


def not_started(url: sa.URL, error: StateUnavailable) -> GristmillError:
    """Why a database cannot be opened, in a sentence for the administrator; no password is in it.

    `error` is what `Translated` has raised. What says all already is given back as it is.
    """
    if isinstance(error, (StorageFull, DatabaseDamaged)):
        return error
    cause = error.__cause__
    if url.get_backend_name() == "sqlite":
        why = _text(cause) if cause is not None else error.message
        return StateUnavailable(
            f"the database file {url.database} cannot be used: {why}; check its permissions and those of its "
            "folder, or choose another data directory with --data"
        )
    why = _one_line(_text(cause)) if cause is not None else "it does not answer"
    hint = next((hint for pattern, hint in _HINTS if re.search(pattern, why, re.IGNORECASE)), "")
    return StateUnavailable(
        f"the database {_place(url)} cannot be used: {why}" + (f"; {hint}" if hint else "")
    )


def _place(url: sa.URL) -> str:
    """Name and server of a database, without user and password."""
    host = url.host or url.query.get("host") or "this machine"
    port = f":{url.port}" if url.port else ""
    shown = host if isinstance(host, str) else ",".join(host)
    return f"{url.database or '(default)'} at {shown}{port}"


def _one_line(text: str) -> str:
    """The message proper of libpq, which tells the address first and asks questions in further lines."""
    first = text.strip().splitlines()[0] if text.strip() else "it gives no reason"
    tail = re.sub(r"^connection (failed|is bad): ", "", first)
    tail = re.sub(r"^connection to server .*? failed: ", "", tail)
    return re.sub(r"^(FATAL|ERROR): +", "", tail).rstrip(".")


def _is_garbled(error: BaseException | None) -> bool:
    """Tells whether what was read is not what was written: SQLite keeps no checksums of texts."""
    if isinstance(error, (UnicodeDecodeError, msgspec.DecodeError)):
        return True
    return isinstance(error, DBAPIError) and str(error.orig).startswith(_GARBLED)


def _text(error: BaseException) -> str:
    """The driver's message, without what users have stored."""
    text = str(getattr(error, "orig", None) or error)
    return text.partition(" with text ")[0] if text.startswith(_GARBLED) else text


def _sqlstate(error: BaseException) -> str | None:
    found = getattr(getattr(error, "orig", None), "sqlstate", None)
    return found if isinstance(found, str) else None


def _sqlite_code(error: BaseException) -> int | None:
    """The primary result code, which is the low byte of what SQLite gives."""
    found = getattr(getattr(error, "orig", None), "sqlite_errorcode", None)
    return found & 0xFF if isinstance(found, int) else None
