"""A requirements file, line by line: names, versions and markers pass, and nothing else does.

What goes into the image is written anew from what was understood, so that pip can read nothing else into it
than was checked: no option (`--index-url`, `-r`, `-e`), no address, no path, no variable of the environment.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from gristmill.deploy.errors import BadRequirement

__all__ = ["read_requirements", "requirement_lines"]

_HASHES = re.compile(r"(?:\s+--hash=sha(?:256|384|512):[0-9a-f]{64,128})*\s*\Z")
_LARGEST = 1024 * 1024
_PRINTABLE = re.compile(r"[\x20-\x7e\t]*")


def read_requirements(path: Path, shown: str) -> list[str]:
    """The checked lines of a file; BadRequirement names file and line."""
    data = path.read_bytes()
    if len(data) > _LARGEST:
        raise BadRequirement(f"{shown} has {len(data):,} bytes; a requirements file has {_LARGEST:,} at most")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadRequirement(f"{shown} is not UTF-8 at byte {error.start}") from None
    return requirement_lines(text, shown)


def requirement_lines(text: str, shown: str) -> list[str]:
    """Each requirement in its normal form, without comments and empty lines."""
    found = []
    for number, line in _logical(text, shown):
        found.append(_checked(line, f"{shown}, line {number}"))
    return found


def _logical(text: str, shown: str) -> Iterator[tuple[int, str]]:
    """Lines without comments, joined where one ends with a backslash, with the number where they begin."""
    begun: tuple[int, str] | None = None
    for number, raw in enumerate(re.split(r"\r\n|\r|\n", text), 1):
        line = re.sub(r"(^|\s)#.*", "", raw).rstrip()
        if not _PRINTABLE.fullmatch(line):
            raise BadRequirement(
                f"{shown}, line {number}: only printable ASCII may stand there, not {line!r}"
            )
        first, before = begun or (number, "")
        goes_on = line.endswith("\\")
        joined = f"{before} {line.removesuffix(chr(92))}".strip()
        begun = (first, joined) if goes_on else None
        if joined and not goes_on:
            yield first, joined
    if begun is not None:
        raise BadRequirement(f"{shown}, line {begun[0]}: it ends with a backslash, and nothing follows")


def _checked(line: str, where: str) -> str:
    from packaging.requirements import InvalidRequirement, Requirement

    text, option, rest = line.partition(" --hash=")
    hashes = f"{option}{rest}"
    if line.startswith("-"):
        raise BadRequirement(
            f"{where}: {_word(line)} is an option; only packages may stand there. "
            "Where pip looks for packages is set in the base image: /etc/pip.conf"
        )
    if "${" in line:
        raise BadRequirement(f"{where}: variables of the environment are not put in: {_word(line)}")
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        reason = str(error).splitlines()[0]
        raise BadRequirement(
            f"{where}: no name, versions and markers of a package: {line!r} ({reason})"
        ) from None
    if requirement.url is not None:
        raise BadRequirement(f"{where}: {requirement.name} comes from an address; give versions instead")
    if not _HASHES.match(hashes):
        raise BadRequirement(
            f"{where}: after {text!r} only --hash=sha256:… may stand, not {hashes.strip()!r}"
        )
    return " ".join([str(requirement), *hashes.split()])


def _word(line: str) -> str:
    return repr(re.split(r"[\s=]", line, maxsplit=1)[0])
