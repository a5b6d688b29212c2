"""Working directories of services: each call finds the snapshot's files, and leaves none to the next."""

from __future__ import annotations

import base64
import os
import shutil
import stat
from typing import Dict, List, Optional, Tuple

from gristmill.errors import GristmillError

__all__ = ["FileTooLarge", "WorkingDirectory", "changed_files", "read_output", "scan"]

#: What tells a changed file: mode, size, time in ns, inode; of a directory the mode only.
Mark = Tuple[int, ...]
Marks = Dict[str, Mark]


class FileTooLarge(GristmillError):
    """An output file is over the output limit."""


def scan(directory: str) -> Marks:
    """All that is in a directory, by relative path; directories end in `/`. Links are not followed."""
    marks: Marks = {}
    todo = [""]
    while todo:
        prefix = todo.pop()
        with os.scandir(os.path.join(directory, prefix)) as entries:
            for entry in entries:
                about = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(about.st_mode):
                    inside = prefix + entry.name + "/"
                    marks[inside] = (about.st_mode,)
                    if about.st_mode & 0o500 == 0o500:
                        todo.append(inside)
                else:
                    marks[prefix + entry.name] = (
                        about.st_mode,
                        about.st_size,
                        about.st_mtime_ns,
                        about.st_ino,
                    )
    return marks


def changed_files(before: Marks, after: Marks) -> List[str]:
    """Files that are new or different, sorted."""
    if before == after:
        return []
    return sorted(name for name, mark in after.items() if name[-1] != "/" and before.get(name) != mark)


def read_output(directory: str, name: str, limit: int) -> Optional[bytes]:
    """Base64 of a file that a call wrote, or None. Follows no link. Raises FileTooLarge."""
    path = os.path.join(directory, name)
    inside = os.path.realpath(os.path.dirname(path)) + "/"
    if not inside.startswith(os.path.realpath(directory) + "/"):
        return None
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            return None
        if about.st_size > limit:
            raise FileTooLarge(f"the file {name!r} has {about.st_size} bytes; {limit} are allowed")
        with open(descriptor, "rb", closefd=False) as file:
            return base64.b64encode(file.read())
    finally:
        os.close(descriptor)


class WorkingDirectory:
    """The directory in which one service's calls run, one after another.

    A call that leaves it untouched costs one look; after others what was added is removed and what was
    changed is copied again from `template`, the files of the snapshot.
    """

    def __init__(self, home: str, template: str) -> None:
        self._home = home
        self._template = template
        self._number = 0
        self._plain = not os.listdir(template)
        self._originals = scan(template)
        self._touched = False
        self._after: Marks = {}
        self.broken = False  #: it could not be made as it was, and `enter` is to try again
        self._build()

    def enter(self) -> str:
        """The path, once it is as it was; for a call that is to run there. Raises OSError."""
        if self.broken:
            self._build()
            self.broken = False
        return self.path

    def _build(self) -> None:
        self._number += 1
        self.path = os.path.join(self._home, f"work-{self._number}")
        shutil.copytree(self._template, self.path)
        self._mark()

    def _mark(self) -> None:
        """Remember what is here; the directory's own time is put back so far that any new name changes it."""
        self._pristine = scan(self.path)
        os.utime(self.path, (0, 0))

    def changes(self) -> List[str]:
        """Files that the call which just ended wrote; `reset` makes it pristine again."""
        try:
            if self._plain and not os.stat(self.path).st_mtime_ns:
                return []
            self._after = scan(self.path)
        except OSError:
            self._touched, self._after = True, {}
            return []
        self._touched = self._plain or self._after != self._pristine
        return changed_files(self._pristine, self._after)

    def reset(self) -> None:
        """Undo what `changes` saw; if that cannot be done now, `enter` tries again."""
        if not self._touched:
            return
        self._touched = False
        try:
            self._repair(self._after)
            self._mark()
            done = self._pristine.keys() == self._originals.keys()
        except OSError:
            done = False
        if not done:
            shutil.rmtree(self.path, ignore_errors=True)
            try:
                self._build()
            except OSError:  # a full disk: it fails the next call, and not the one whose answer is at hand
                self.broken = True

    def _repair(self, after: Marks) -> None:
        for name in sorted(after, reverse=True):  # what is in a directory before the directory
            if after[name] == self._pristine.get(name):
                continue
            path = os.path.join(self.path, name)
            if name[-1] != "/":
                os.unlink(path)
            elif name not in self._pristine:
                os.chmod(path, 0o700)
                shutil.rmtree(path)
            else:
                os.chmod(path, stat.S_IMODE(self._pristine[name][0]))
        for name in sorted(self._pristine):
            path = os.path.join(self.path, name)
            if name[-1] == "/":
                os.makedirs(path, exist_ok=True)
            elif after.get(name) != self._pristine[name]:
                shutil.copy2(os.path.join(self._template, name), path)
