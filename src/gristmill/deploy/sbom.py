"""What is installed here, as a software bill of materials, CycloneDX 1.6: `python -m gristmill.deploy.sbom`.

Run while an image is built, in the image: Debian packages as dpkg knows them, Python packages of this
environment, R packages as their DESCRIPTION files say. Needs the standard library alone.
"""

from __future__ import annotations

import argparse
import json
import sys
import uuid
from collections.abc import Iterator
from email.parser import HeaderParser
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gristmill import __version__

__all__ = ["bill_of_materials", "main"]

#: Where Debian's R looks for packages.
_R_LIBRARIES = ("usr/local/lib/R/site-library", "usr/lib/R/site-library", "usr/lib/R/library")
#: A name of our own below which serial numbers are made, so that equal contents get equal numbers.
_NAMESPACE = uuid.UUID("8f0b8f5e-6d0a-5f0c-9a44-0d6f3a8d1c52")


def bill_of_materials(root: Path = Path("/")) -> dict[str, Any]:
    """The document. `root` is where the system's files are; Python packages are those of this interpreter."""
    components = sorted(
        [*_debian_packages(root), *_python_packages(), *_r_packages(root)], key=lambda part: part["bom-ref"]
    )
    unique = {part["bom-ref"]: part for part in components}
    content = json.dumps(unique, sort_keys=True)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, content)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "container",
                "bom-ref": "image",
                "name": "gristmill",
                "version": __version__,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            },
            "tools": {
                "components": [
                    {"type": "application", "name": "gristmill.deploy.sbom", "version": __version__}
                ]
            },
        },
        "components": [*unique.values()],
    }


def _component(purl: str, name: str, version: str, licence: str | None) -> dict[str, Any]:
    part: dict[str, Any] = {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "purl": purl,
    }
    if licence:
        part["licenses"] = [{"license": {"name": licence}}]
    return part


def _debian_packages(root: Path) -> Iterator[dict[str, Any]]:
    """The installed ones; none where there is no dpkg."""
    status = root / "var/lib/dpkg/status"
    if not status.is_file():
        return
    distribution = _distribution(root)
    for paragraph in status.read_text("utf-8", "replace").split("\n\n"):
        fields = HeaderParser().parsestr(paragraph)
        if fields.get("Status", "").split()[-1:] != ["installed"]:
            continue
        name, version = fields["Package"], fields["Version"]
        qualifiers = f"arch={fields['Architecture']}" + (f"&distro={distribution}" if distribution else "")
        yield _component(
            f"pkg:deb/debian/{quote(name)}@{quote(version, safe='')}?{qualifiers}", name, version, None
        )


def _distribution(root: Path) -> str:
    """`debian-12`, or nothing where the system does not say."""
    release = root / "etc/os-release"
    if not release.is_file():
        return ""
    pairs = dict(line.split("=", 1) for line in release.read_text().splitlines() if "=" in line)
    values = [pairs.get(key, "").strip('"') for key in ("ID", "VERSION_ID")]
    return "-".join(quote(value, safe="") for value in values if value)


def _python_packages() -> Iterator[dict[str, Any]]:
    for package in metadata.distributions():
        # Read by ourselves: what `metadata` gives for a field that is not there differs between Pythons.
        fields = HeaderParser().parsestr(package.read_text("METADATA") or "")
        name, version = fields["Name"], fields["Version"]
        licence = fields.get("License-Expression") or fields.get("License", "").partition("\n")[0]
        purl = f"pkg:pypi/{quote(name.lower().replace('_', '-'))}@{quote(version, safe='')}"
        yield _component(purl, name, version, licence)


def _r_packages(root: Path) -> Iterator[dict[str, Any]]:
    for library in _R_LIBRARIES:
        for description in sorted((root / library).glob("*/DESCRIPTION")):
            fields = HeaderParser().parsestr(description.read_text("utf-8", "replace"))
            name, version = fields["Package"], fields["Version"]
            purl = f"pkg:cran/{quote(name)}@{quote(version, safe='')}"
            yield _component(purl, name, version, fields.get("License"))


def main(arguments: list[str] | None = None) -> None:
    """Write the document to a file, or to standard output."""
    parser = argparse.ArgumentParser(prog="python -m gristmill.deploy.sbom", description=__doc__)
    parser.add_argument("--output", type=Path, help="the file to write; default: standard output")
    output: Path | None = parser.parse_args(arguments).output
    text = json.dumps(bill_of_materials(), indent=1) + "\n"
    if output is None:
        sys.stdout.write(text)
    else:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
