"""The files of a folder that go into an image: found, checked, and laid out for the builder."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from gristmill.deploy.errors import BadFolder, SecretInFolder
from gristmill.deploy.ignoring import Ignored, ignored_by
from gristmill.deploy.project import PROJECT_FILE, Project
from gristmill.deploy.secret_files import SCANNED, looks_secret

__all__ = ["ContextFile", "epoch", "files_of", "lay_out"]

_MOST_FILES = 20_000
#: 1980-01-01: the time of all files, unless SOURCE_DATE_EPOCH gives another. Equal folders make equal layers.
_EPOCH = 315_532_800


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextFile:
    """A regular file of the folder."""

    path: str  #: in the folder, with slashes
    source: Path  #: where it really is, without links
    size: int
    executable: bool


def files_of(folder: Path, project: Project) -> list[ContextFile]:
    """What goes into the image, by path; BadFolder and SecretInFolder name the file that may not."""
    try:
        root = folder.resolve(strict=True)
    except OSError as error:
        raise BadFolder(f"there is no folder {folder}: {error.strerror}") from None
    if not root.is_dir():
        raise BadFolder(f"{folder} is not a folder")
    ignored = ignored_by(root)
    named = set(project.files or ())
    found: dict[str, ContextFile] = {}
    for path in _paths(root, project.files, ignored):
        entry = _checked(root, path)
        _refuse_secret(entry, named)
        found[path] = entry
        if len(found) > _MOST_FILES:
            raise BadFolder(
                f"{folder} has more than {_MOST_FILES:,} files; say by `files` in {PROJECT_FILE} which of "
                "them are needed, or leave some out by .gristmillignore"
            )
    return [found[path] for path in sorted(found)]


def epoch(environment: Mapping[str, str] = os.environ) -> int:
    """The time that files get: SOURCE_DATE_EPOCH, as reproducible-builds.org has it, or a fixed one."""
    text = environment.get("SOURCE_DATE_EPOCH", "")
    if not text:
        return _EPOCH
    if not text.isascii() or not text.isdigit() or len(text) > 11:
        raise BadFolder(f"SOURCE_DATE_EPOCH is {text[:40]!r}, and should be seconds since 1970")
    return int(text)


def lay_out(files: list[ContextFile], target: Path, seconds: int) -> None:
    """Copy them below `target`, with modes and times that do not depend on this machine."""
    target.mkdir()
    for entry in files:
        place = target / entry.path
        place.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(entry.source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(descriptor, "rb") as reader, place.open("xb") as writer:
            if not stat.S_ISREG(os.fstat(reader.fileno()).st_mode):
                raise BadFolder(f"{entry.path} is no longer a regular file")
            shutil.copyfileobj(reader, writer, 1024 * 1024)
        place.chmod(0o755 if entry.executable else 0o644)
        os.utime(place, (seconds, seconds))
    for folder, _, _ in os.walk(target, topdown=False):
        Path(folder).chmod(0o755)
        os.utime(folder, (seconds, seconds))


def _paths(root: Path, wanted: tuple[str, ...] | None, ignored: Ignored) -> Iterator[str]:
    """Paths of what is wanted: what is named, even if hidden; else all but hidden and ignored ones."""
    if wanted is None:
        yield from _below(root, "", ignored)
        return
    for name in wanted:
        place = root / name
        if not os.path.lexists(place):
            raise BadFolder(f"`files` names {name}, and the folder has no such file")
        if place.is_dir() and not place.is_symlink():
            yield from _below(root, f"{name}/", ignored)
        else:
            yield name
    if PROJECT_FILE not in wanted and (root / PROJECT_FILE).is_file():
        yield PROJECT_FILE  # the server reads there what to publish


def _below(root: Path, prefix: str, ignored: Ignored) -> Iterator[str]:
    try:
        entries = sorted(os.scandir(root / prefix), key=lambda entry: entry.name)
    except OSError as error:
        raise BadFolder(f"{prefix or '.'} cannot be read: {error.strerror}") from None
    for entry in entries:
        path = f"{prefix}{entry.name}"
        is_folder = entry.is_dir(follow_symlinks=False)
        if ignored(path, is_folder):
            continue
        if is_folder:
            yield from _below(root, f"{path}/", ignored)
        else:
            yield path


def _checked(root: Path, path: str) -> ContextFile:
    if not path.isprintable() or not _is_utf8(path):
        raise BadFolder(
            f"the file name {path!r} holds characters that no file of an image should have; rename it"
        )
    try:
        source = (root / path).resolve(strict=True)
        found = source.stat()
    except (OSError, RuntimeError) as error:
        raise BadFolder(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not source.is_relative_to(root):
        raise BadFolder(
            f"{path} is a link that leaves the folder, to {source}: copy the file, or leave it out"
        )
    if stat.S_ISDIR(found.st_mode):
        raise BadFolder(f"{path} is a link to a folder: copy the folder, or leave it out by .gristmillignore")
    if not stat.S_ISREG(found.st_mode):
        raise BadFolder(f"{path} is not a regular file: leave it out by .gristmillignore")
    if not os.access(source, os.R_OK):
        raise BadFolder(f"{path} cannot be read: you have no right to")
    return ContextFile(path=path, source=source, size=found.st_size, executable=bool(found.st_mode & 0o100))


def _is_utf8(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse_secret(entry: ContextFile, named: set[str]) -> None:
    if entry.path in named:
        return
    with entry.source.open("rb") as file:
        head = file.read(SCANNED)
    why = looks_secret(entry.path, head) or looks_secret(entry.source.name, b"")
    if why is not None:
        raise SecretInFolder(
            f"{entry.path} looks like a secret ({why}), and everybody who has the image can read it. "
            f"Leave it out by .gristmillignore; or, if it has to be there, name it "
            f"in `files` of {PROJECT_FILE}"
        )
