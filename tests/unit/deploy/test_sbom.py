"""The bill of materials, of a small system made for it."""

from __future__ import annotations

import json
import uuid
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from gristmill import __version__
from gristmill.deploy.sbom import bill_of_materials, main

DPKG = """\
Package: libstdc++6
Status: install ok installed
Architecture: amd64
Version: 1:12.2.0-14+deb12u1
Description: GNU Standard C++ Library
 a second line

Package: removed
Status: deinstall ok config-files
Architecture: amd64
Version: 1
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path / "var/lib/dpkg/status", DPKG)
    write(tmp_path / "etc/os-release", 'NAME="Debian GNU/Linux"\nID=debian\nVERSION_ID="12"\n')
    forest = (
        "Package: randomForest\nVersion: 4.7-1.1\nLicense: GPL (>= 2)\nDepends: R (>= 4.1.0),\n    stats\n"
    )
    write(tmp_path / "usr/lib/R/site-library/randomForest/DESCRIPTION", forest)
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def parts(root: Path) -> dict[str, dict[str, Any]]:
    return {part["purl"]: part for part in bill_of_materials(root)["components"]}


def test_a_debian_package_is_named_with_architecture_and_distribution(root: Path) -> None:
    part = parts(root)["pkg:deb/debian/libstdc%2B%2B6@1%3A12.2.0-14%2Bdeb12u1?arch=amd64&distro=debian-12"]
    assert (part["name"], part["version"]) == ("libstdc++6", "1:12.2.0-14+deb12u1")


def test_what_dpkg_has_removed_is_not_listed(root: Path) -> None:
    assert not [purl for purl in parts(root) if "removed" in purl]


def test_a_package_of_r_is_listed_with_its_licence(root: Path) -> None:
    part = parts(root)["pkg:cran/randomForest@4.7-1.1"]
    assert part["licenses"] == [{"license": {"name": "GPL (>= 2)"}}]


def test_every_python_package_of_this_environment_is_listed(root: Path) -> None:
    listed = {purl for purl in parts(root) if purl.startswith("pkg:pypi/")}
    assert f"pkg:pypi/httpx@{metadata.version('httpx')}" in listed
    assert len(listed) == len({package.metadata["Name"] for package in metadata.distributions()})


def test_a_system_without_dpkg_and_r_has_python_packages_alone(tmp_path: Path) -> None:
    assert all(purl.startswith("pkg:pypi/") for purl in parts(tmp_path))


def test_equal_contents_make_equal_documents(root: Path) -> None:
    assert bill_of_materials(root) == bill_of_materials(root)
    write(root / "usr/lib/R/library/stats/DESCRIPTION", "Package: stats\nVersion: 4.2.2\n")
    assert bill_of_materials(root)["serialNumber"] != bill_of_materials(Path("/nowhere"))["serialNumber"]


def test_references_are_unique_and_the_serial_number_is_one(root: Path) -> None:
    bill = bill_of_materials(root)
    references = [part["bom-ref"] for part in bill["components"]]
    assert len(references) == len(set(references))
    assert uuid.UUID(bill["serialNumber"].removeprefix("urn:uuid:")).version == 5
    assert bill["metadata"]["component"]["version"] == __version__


def test_it_goes_into_a_file_or_to_standard_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "share" / "sbom.cdx.json"
    main(["--output", str(file)])
    main([])
    assert json.loads(file.read_text()) == json.loads(capsys.readouterr().out)
