"""What a server publishes as it starts: bundles in a folder, read and checked, and a digest of each."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from gristmill.errors import GristmillError

__all__ = ["PROJECT_FILE", "SERVICE_FILE", "BadBundle", "Bundle", "Step", "find_bundles"]

PROJECT_FILE = "gristmill.toml"
SERVICE_FILE = "service.toml"
_SCRIPTS = frozenset({".R", ".r", ".py", ".gm"})
_SKIPPED = frozenset({"__pycache__", "lost+found"})


class BadBundle(GristmillError):
    """The folder to publish from cannot be read, or names what cannot be published."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing to run or to import; its working directory is `folder`."""

    folder: Path
    path: str  #: in the folder, with slashes

    @property
    def file(self) -> Path:
        """Where it is."""
        return self.folder / self.path

    @property
    def kind(self) -> str:
        """`.R`, `.py`, `.gm` or `.toml`."""
        suffix = PurePosixPath(self.path).suffix
        return ".R" if suffix == ".r" else suffix


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """Steps that belong together: all of them have been done, or the bundle has not been published."""

    name: str
    steps: tuple[Step, ...]
    files: tuple[Path, ...]  #: all that its steps may read
    folder: Path

    def digest(self) -> str:
        """SHA-256 over the names and bytes of its files and the order of its steps; reads them all."""
        total = hashlib.sha256()
        for step in self.steps:
            total.update(b"step\0" + step.path.encode("utf-8", "surrogateescape") + b"\0")
        for path in self.files:
            name = path.relative_to(self.folder).as_posix().encode("utf-8", "surrogateescape")
            total.update(b"file\0" + name + b"\0" + _content(path))
        return total.hexdigest()


def find_bundles(folder: Path) -> list[Bundle]:
    """The bundles in `folder`, by name: its subfolders and lone files; or itself, if it has a gristmill.toml.

    Raises BadBundle that names the file.
    """
    try:
        folder = folder.resolve(strict=True)
        entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
    except OSError as error:
        raise BadBundle(f"nothing can be published from {folder}: {error.strerror}") from None
    if (folder / PROJECT_FILE).is_file():
        return [_bundle(folder)]
    shown = [entry for entry in entries if not _hidden(entry.name)]
    beside = tuple(entry for entry in shown if entry.is_file())
    found = []
    for entry in shown:
        if entry.is_dir():
            found.append(_bundle(entry))
        elif _publishable(entry.name):
            # A script may read the files beside it; an exported service is complete by itself.
            files = (entry,) if entry.suffix == ".gm" else beside
            step = Step(folder=folder, path=entry.name)
            found.append(Bundle(name=entry.name, steps=(step,), files=files, folder=folder))
    return [bundle for bundle in found if bundle.steps]


def _bundle(folder: Path) -> Bundle:
    files = tuple(_below(folder))
    wanted = _wanted(folder / PROJECT_FILE)
    if wanted is None:
        top = (path.name for path in files if path.parent == folder)
        wanted = [name for name in top if _publishable(name)]
    steps = tuple(Step(folder=folder, path=path) for path in wanted)
    for step in steps:
        if not step.file.is_file():
            raise BadBundle(f"{folder / PROJECT_FILE}: publish names {step.path}, and there is no such file")
    return Bundle(name=folder.name, steps=steps, files=files, folder=folder)


def _wanted(project: Path) -> list[str] | None:
    """What `publish` of a gristmill.toml names, in its order; None if it does not say."""
    import tomllib

    try:
        said = tomllib.loads(project.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise BadBundle(f"{project} cannot be read: {error}") from None
    listed = said.get("publish")
    if listed is None:
        return None
    if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed):
        raise BadBundle(f'{project}: publish is a list of file names, as in publish = ["deploy.R"]')
    return [_inside(project, each) for each in listed]


def _inside(project: Path, text: str) -> str:
    path = PurePosixPath(text)
    if not text or "\0" in text or path.is_absolute() or ".." in path.parts:
        raise BadBundle(f"{project}: publish names {text!r}, which is no file inside the bundle")
    if not _publishable(path.name):
        raise BadBundle(
            f"{project}: publish names {text!r}, and can hold scripts (.R, .py), exported services (.gm) "
            f"and {SERVICE_FILE}"
        )
    return str(path)


def _publishable(name: str) -> bool:
    return name == SERVICE_FILE or PurePosixPath(name).suffix in _SCRIPTS


def _hidden(name: str) -> bool:
    return name.startswith(".") or name in _SKIPPED or name.endswith(".pyc")


def _below(folder: Path) -> Iterator[Path]:
    """All files, links to files and links to folders, by path; Kubernetes mounts files as links."""
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if _hidden(entry.name):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _below(Path(entry.path))
        else:
            yield Path(entry.path)


def _content(path: Path) -> bytes:
    """The digest of a file's bytes; of a link to a folder, where it leads."""
    try:
        if path.is_file():
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").digest()
        return hashlib.sha256(os.fsencode(os.path.realpath(path))).digest()
    except OSError as error:
        raise BadBundle(f"{path} cannot be read: {error.strerror}") from None
