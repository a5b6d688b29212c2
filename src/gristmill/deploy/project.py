"""What a folder says of the image that it becomes: `gristmill.toml`, and the options that go before it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from gristmill import __version__
from gristmill.deploy.errors import BadFolder, BadProject
from gristmill.deploy.images import ImageReference, is_component

__all__ = ["LANGUAGES", "PROJECT_FILE", "Options", "Project", "inner_path", "read_project"]

PROJECT_FILE = "gristmill.toml"
LANGUAGES = ("python", "r")
_KEYS = {"name", "language", "base", "publish", "files", "r-packages", "requirements", "labels"}
_SCRIPTS = (".R", ".r", ".py", ".gm")
_R_PACKAGE = re.compile(r"[A-Za-z][A-Za-z0-9.]*[A-Za-z0-9]")  # Writing R Extensions, 1.1.1
_LABEL_KEY = re.compile(r"[a-z0-9](?:[a-z0-9._/-]{0,126}[a-z0-9])?")
_MOST = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is said beside gristmill.toml; None and empty leave it to the file."""

    name: str | None = None
    language: str | None = None
    base: str | None = None
    publish: Sequence[str] = ()
    r_packages: Sequence[str] = ()
    requirements: str | None = None
    labels: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """Checked: every name in it may stand in a Containerfile."""

    name: str
    language: str | None  #: None until the files are known
    base: str | None
    publish: tuple[str, ...]  #: scripts in order; empty: all at the top level, by name
    files: tuple[str, ...] | None  #: None: everything that is not hidden
    r_packages: tuple[str, ...]
    requirements: str | None  #: path inside the folder
    labels: tuple[tuple[str, str], ...]
    publish_is_given: bool  #: by an option, so that the file in the image has to say it too

    def language_of(self, names: Sequence[str]) -> str:
        """Its own, or that of the scripts: R if any of them is in R."""
        scripts = self.publish or names
        r_scripts = [name for name in scripts if name.endswith((".R", ".r"))]
        return self.language or ("r" if r_scripts or self.r_packages else "python")

    def base_of(self, language: str) -> str:
        """The image to build upon."""
        return self.base or f"gristmill:{__version__}-{language}"

    def toml(self) -> str:
        """What the image's own gristmill.toml says when options went before the folder's."""
        return f"publish = {json.dumps(list(self.publish), ensure_ascii=False)}\n"


def read_project(folder: Path, options: Options) -> Project:
    """The folder's file, and the options before it; BadProject names the key that is wrong."""
    said = _read(folder / PROJECT_FILE)
    name = options.name or said.get("name") or _name_of(folder)
    if not is_component(name):
        raise BadProject(
            f"{name!r} cannot be a name of an image: lower case letters and digits, with single . _ - "
            f"between them; choose another by `name` in {PROJECT_FILE}"
        )
    publish = options.publish or said.get("publish", [])
    requirements = options.requirements or said.get("requirements")
    language = options.language or said.get("language")
    if language is not None and language not in LANGUAGES:
        raise BadProject(f"the language {language!r} is neither python nor r")
    base = options.base or said.get("base")
    return Project(
        name=name,
        language=language,
        base=str(ImageReference.parse(base)) if base else None,
        publish=tuple(_script(each) for each in publish),
        files=tuple(inner_path(each, "files") for each in said["files"]) if "files" in said else None,
        r_packages=tuple(_r_package(each) for each in [*said.get("r-packages", []), *options.r_packages]),
        requirements=inner_path(requirements, "requirements") if requirements else None,
        labels=tuple(
            sorted(_label(*each) for each in {**said.get("labels", {}), **(options.labels or {})}.items())
        ),
        publish_is_given=bool(options.publish),
    )


def inner_path(text: str, key: str) -> str:
    """A path below the folder, in its normal form."""
    path = PurePosixPath(text)
    if not text or path.is_absolute() or ".." in path.parts or not path.parts:
        raise BadProject(f"{key}: {text!r} is not the path of a file inside the folder")
    if not text.isprintable() or "\\" in text or '"' in text:
        raise BadProject(f"{key}: {text!r} holds characters that no file of an image should have in its name")
    return str(path)


def _read(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        said = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadProject(f"{path}: {error}") from None
    except OSError as error:
        raise BadFolder(f"{path} cannot be read: {error.strerror}") from None
    if unknown := sorted(set(said) - _KEYS):
        raise BadProject(
            f"{path}: there is no key {', '.join(unknown)}; there are {', '.join(sorted(_KEYS))}"
        )
    for key, value in said.items():
        _typed(path, key, value)
    if said.get("publish") == []:
        raise BadProject(
            f"{path}: publish is empty, and the image would serve nothing; leave it out for all scripts"
        )
    return said


def _typed(path: Path, key: str, value: object) -> None:
    if key == "labels":
        good = isinstance(value, dict) and all(isinstance(each, str) for each in value.values())
        expected = "a table of texts"
    elif key in {"publish", "files", "r-packages"}:
        good = (
            isinstance(value, list) and all(isinstance(each, str) for each in value) and len(value) <= _MOST
        )
        expected = f"a list of at most {_MOST} texts"
    else:
        good, expected = isinstance(value, str), "a text"
    if not good:
        raise BadProject(f"{path}: {key} has to be {expected}")


def _name_of(folder: Path) -> str:
    """The folder's name, as near to it as an image's name can be."""
    return re.sub(r"[\s_]+", "-", folder.resolve().name.lower()).strip("-")


def _script(text: str) -> str:
    path = inner_path(text, "publish")
    name = PurePosixPath(path).name
    if path.startswith("-"):
        raise BadProject(f"publish: {text!r} begins with a dash, and would be taken for an option; rename it")
    if name != "service.toml" and not name.endswith(_SCRIPTS):
        raise BadProject(
            f"publish: {text!r} is no script (.R, .py), no exported service (.gm) and no service.toml"
        )
    return path


def _r_package(name: str) -> str:
    if not _R_PACKAGE.fullmatch(name) or len(name) > 100:
        raise BadProject(
            f"r-packages: {name!r} cannot be the name of an R package: letters, digits and dots, "
            "beginning with a letter and not ending with a dot"
        )
    return name


def _label(key: str, value: str) -> tuple[str, str]:
    if not _LABEL_KEY.fullmatch(key):
        raise BadProject(f"label {key!r}: a key is of lower case letters, digits and . _ / - between them")
    if not value.isprintable() or len(value) > 4096 or any(each in value for each in "\"'\\$"):
        raise BadProject(f"label {key}: its value may hold no quotes, backslashes, $ or line breaks")
    return key, value
