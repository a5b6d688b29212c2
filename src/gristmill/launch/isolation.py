"""How far a shell is kept from the machine: its own user, and bubblewrap or Landlock, as far as they work."""

from __future__ import annotations

import functools
import os
import pwd
import shutil
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gristmill.errors import ShellDied
from gristmill.launch import landlock

__all__ = ["SHELL_PATH", "Isolation", "UserIds", "detect", "masked_paths", "needed_paths", "sandbox"]

#: Where shells look for programs, whatever the server's own PATH is.
SHELL_PATH = "/usr/local/bin:/usr/bin:/bin"
#: How many shells may have a user id of their own at a time.
_IDS = 1024
_SANDBOX = "/tmp/shell"  # noqa: S108 - a path inside the sandbox, on its own tmpfs


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """What is used, each on or off, with what to tell the administrator."""

    bubblewrap: str | None  #: path of the program
    users: bool  #: every shell has a user id of its own
    landlock: bool = False  #: in place of bubblewrap
    network: bool = True  #: shells may open connections

    @property
    def summary(self) -> str:
        """A few words for the log and `/status`."""
        used = {"bubblewrap": self.bubblewrap, "Landlock": self.landlock, "own user ids": self.users}
        return (
            " + ".join(name for name, there in used.items() if there)
            or "none: shells run as the server's own user"
        )


class UserIds:
    """Numeric user ids, one per living shell; no passwd entry is needed.

    The range is derived from the server's process id, so that two servers on one machine do not share one.
    They are given out in turn, so that what a shell has left outside its folder, in a /tmp that all share for
    instance, is not soon another's. For any thread.
    """

    def __init__(self, base: int | None = None) -> None:
        self._base = base if base is not None else self._default_base()
        self._taken: set[int] = set()
        self._next = 0
        self._lock = threading.Lock()

    @staticmethod
    def _default_base() -> int:
        wide = 2_000_000 + (os.getpid() % 100_000) * _IDS
        for line in Path("/proc/self/uid_map").read_text().splitlines():
            first, _, count = (int(part) for part in line.split())
            if first <= wide and wide + _IDS <= first + count:
                return wide
        return 30_000 + (os.getpid() % 32) * _IDS

    def take(self) -> int:
        """An id that no living shell has. Raises ShellDied when all are taken."""
        with self._lock:
            for step in range(_IDS):
                offset = (self._next + step) % _IDS
                if self._base + offset not in self._taken:
                    self._next = offset + 1
                    self._taken.add(self._base + offset)
                    return self._base + offset
        raise ShellDied(
            f"all {_IDS} user ids for shells are taken, as processes or files of ended shells are being "
            "removed: try again later, or look in the log for processes that cannot be ended"
        )

    def give_back(self, uid: int) -> None:
        """The shell of this id and all its processes have ended, and its files are gone."""
        with self._lock:
            self._taken.discard(uid)


def detect(
    interpreter: str, *, data: Path, network: bool, bubblewrap: bool = True
) -> tuple[Isolation, list[str]]:
    """The strongest isolation that works here, and warnings for the administrator.

    `data` is the server's directory; the shells' scratch directories lie in it.
    """
    warnings = []
    program, way_out = shutil.which("bwrap") if bubblewrap else None, "install bubblewrap to keep them apart"
    working = program if program and _works(program) else None
    locked = working is None and landlock.is_offered()
    if program and not working:
        if not locked:
            warnings.append(f"{program} is there but cannot make a sandbox here; shells run without it")
        program, way_out = None, "publishers must trust one another here"
    users = os.geteuid() == 0
    if users and not program:
        package = str(Path(__file__).parent)
        for path in (interpreter, package, str(data / "scratch")):
            if not _reachable(path):
                warnings.append(
                    f"shells run as root, because no other user can reach {path}: install bubblewrap, "
                    "or put it where others may pass"
                )
                users = False
    if not users and not program and not locked:
        warnings.append(f"shells can read what the server can read: {way_out}")
    if not network and not program:
        warnings.append("shells keep their network access: closing it needs bubblewrap")
    return Isolation(bubblewrap=program, users=users, landlock=locked, network=network), warnings


def _works(program: str) -> bool:
    probe = [program, *_NAMESPACES, "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "true"]
    try:
        ended = subprocess.run(  # noqa: S603 - our words only
            probe, capture_output=True, timeout=10, check=False, env={"PATH": SHELL_PATH}
        )
        return ended.returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _reachable(path: str) -> bool:
    real = Path(path).resolve()
    return all(parent.stat().st_mode & 0o001 for parent in (*real.parents, Path(path).parent.resolve()))


_NAMESPACES = ("--unshare-pid", "--unshare-ipc", "--die-with-parent")


@functools.cache
def _home() -> Path | None:
    try:
        home = Path(pwd.getpwuid(os.geteuid()).pw_dir)
    except KeyError:
        return None
    return home if home.is_dir() and home != Path("/") else None


def masked_paths(hidden: Sequence[Path]) -> list[Path]:
    """What no shell sees: the home of the server's user, and what is `hidden`."""
    home = _home()
    return [*([home] if home else []), *hidden]


def sandbox(
    isolation: Isolation,
    *,
    hidden: Sequence[Path],
    scratch: Path,
    uid: int | None,
    needed: list[Path],
    info: int,
) -> tuple[list[str], str]:
    """Words to put before a shell's command, and its working directory as it will see it.

    The root is read-only; folders that are `hidden` and the user's home are not there, but for `needed`.
    """
    if isolation.bubblewrap is None:
        return [], str(scratch)
    words = [isolation.bubblewrap, *_NAMESPACES, "--info-fd", str(info), "--ro-bind", "/", "/"]
    words += ["--dev", "/dev", "--proc", "/proc", "--perms", "1777", "--tmpfs", "/tmp"]  # noqa: S108
    masks = [mask for mask in masked_paths(hidden) if mask.is_dir()]
    for mask in masks:
        words += ["--perms", "0755", "--tmpfs", str(mask)]
    masks.append(Path("/tmp"))  # noqa: S108
    for path in needed:
        for mask in masks:
            if path.is_relative_to(mask):
                words += [*_passable(mask, path), "--ro-bind", str(path), str(path)]
                break
    if not isolation.network:
        words.append("--unshare-net")
    words += ["--bind", str(scratch), _SANDBOX, "--chdir", _SANDBOX]
    if uid is not None:
        words += ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--inh-caps=-all"]
        words += ["--bounding-set=-all", "--no-new-privs"]
    return words, _SANDBOX


def _passable(mask: Path, path: Path) -> list[str]:
    """Make the directories from a mask down to a path; left to bubblewrap, only root could pass them."""
    between = [parent for parent in path.parents if parent != mask and parent.is_relative_to(mask)]
    return [word for parent in reversed(between) for word in ("--perms", "0755", "--dir", str(parent))]


def needed_paths() -> list[Path]:
    """What a shell of the server's own interpreter reads: the installation, the environment, this package."""
    package = Path(__file__).resolve().parents[2]
    paths = {Path(sys.base_prefix).resolve(), Path(sys.prefix).resolve(), package}
    return sorted(paths)
