"""What is released: the wheel and the sdist hold what they should, install, and work under each Python."""

from __future__ import annotations

import shutil
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

import gristmill
from tests.conftest import stopping
from tests.e2e.publishing import call, publish
from tests.pythons import environment, find_python, run
from tests.servers import Server, start_server

# The first run on a machine installs numpy and its kind for two Pythons; later ones only the wheel.
pytestmark = pytest.mark.timeout(300)

ROOT = Path(__file__).parents[2]
CONSTRAINTS = ROOT / "constraints.txt"
PIP = ("-m", "pip", "--quiet", "--disable-pip-version-check")
SMALL = 3_000_000  #: bytes; more than that, and something has got in

PLAIN = """
import math, sys
import gristmill

def area(radius: float) -> float:
    return math.pi * radius ** 2 * scale["factor"]

gristmill.connect(sys.argv[1], username="admin", password=sys.argv[2])
circle = gristmill.publish(sys.argv[3], area, objects={"scale": {"factor": 2}})
assert circle.area(1.5).output("result") == math.pi * 1.5 ** 2 * 2
print("answered")
"""
MODEL = """
import sys
import gristmill
import pandas as pd
from sklearn.ensemble import RandomForestRegressor

class Doubled:
    def __init__(self, model):
        self.model = model
    def predict(self, rows):
        return 2 * self.model.predict(rows)

def predict(rows):
    return doubled.predict(rows)

rows = pd.DataFrame({"x": [1.0, 2.0, 3.0], "z": [0.5, 0.25, 0.125]})
doubled = Doubled(RandomForestRegressor(5, random_state=1).fit(rows, [2.0, 4.0, 6.0]))
gristmill.connect(sys.argv[1], username="admin", password=sys.argv[2])
forest = gristmill.publish(
    sys.argv[3], predict, models={"doubled": doubled}, inputs={"rows": rows}, outputs={"y": "vector"}
)
assert forest.predict(rows).output("y").tolist() == doubled.predict(rows).tolist()
print("answered")
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packages:
    """Both packages of the tree as it is now."""

    wheel: Path
    sdist: Path
    in_wheel: list[str]
    in_sdist: list[str]  #: without the folder that all are in
    metadata: Message


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Packages:
    target = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "-d", target, cwd=ROOT)
    [wheel], [sdist] = target.glob("*.whl"), target.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        in_wheel = archive.namelist()
        [metadata] = [name for name in in_wheel if name.endswith(".dist-info/METADATA")]
        about = Parser().parsestr(archive.read(metadata).decode())
    with tarfile.open(sdist) as source:
        in_sdist = [member.name.split("/", 1)[1] for member in source.getmembers() if member.isfile()]
    return Packages(wheel=wheel, sdist=sdist, in_wheel=in_wheel, in_sdist=in_sdist, metadata=about)


def in_tree(folder: str) -> set[str]:
    """Files of the tree, by their paths below `folder`; what tools leave behind is left out."""
    found = (ROOT / folder).rglob("*")
    return {str(each.relative_to(ROOT / folder)) for each in found if each.is_file() and not is_debris(each)}


def is_debris(path: Path) -> bool:
    return path.suffix == ".pyc" or "__pycache__" in path.parts


def test_the_wheel_holds_the_package_and_nothing_else(packages: Packages) -> None:
    code = {name for name in packages.in_wheel if ".dist-info/" not in name}
    assert code == in_tree("src")
    assert {name.split("/", 1)[0] for name in code} == {"gristmill"}
    assert packages.wheel.stat().st_size < SMALL


@pytest.mark.parametrize(
    "pattern",
    [
        "gristmill/py.typed",
        "gristmill/r_shell/*.R",
        "gristmill/web/static/*.js",
        "gristmill/web/static/*.css",
        "gristmill/web/static/*LICENSE*",
        "gristmill/db/migrations/script.py.mako",
        "gristmill/db/migrations/versions/*.py",
        "gristmill/python_shell/bootstrap.py",
        "gristmill-*.dist-info/licenses/LICENSE",
    ],
)
def test_what_is_no_module_is_in_the_wheel_too(packages: Packages, pattern: str) -> None:
    assert [name for name in packages.in_wheel if Path(name).match(pattern)]


def test_the_metadata_are_those_of_the_project(packages: Packages) -> None:
    about = packages.metadata
    assert about["Name"] == "gristmill"
    assert about["Version"] == gristmill.__version__
    assert about["Requires-Python"] == ">=3.9"
    assert about["License-Expression"] == "Apache-2.0"
    assert {"server", "shell"} <= set(about.get_all("Provides-Extra", []))
    assert about.get_payload().startswith("# Gristmill")  # type: ignore[union-attr]  # a text: it has one part


def test_the_sdist_can_be_built_and_tested_from(packages: Packages) -> None:
    held = set(packages.in_sdist)
    assert {f"src/{name}" for name in in_tree("src")} <= held
    assert {f"tests/{name}" for name in in_tree("tests")} <= held
    assert {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "constraints.txt"} <= held
    tops = {name.split("/", 1)[0] for name in held if "/" in name}
    assert tops == {"src", "r", "deploy", "tests", "scripts", "examples", "docs"}
    assert not [name for name in held if is_debris(Path(name)) or name.endswith((".db", ".log"))]
    assert packages.sdist.stat().st_size < SMALL


def test_the_sdist_builds_the_same_wheel(packages: Packages, tmp_path: Path) -> None:
    with tarfile.open(packages.sdist) as source:
        source.extractall(tmp_path, filter="data")
    [unpacked] = tmp_path.iterdir()
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path, cwd=unpacked)
    with zipfile.ZipFile(tmp_path / packages.wheel.name) as again, zipfile.ZipFile(packages.wheel) as first:
        assert {one.filename: one.CRC for one in again.infolist()} == {
            one.filename: one.CRC for one in first.infolist()
        }


def installed(packages: Packages, version: str, extras: str = "", *, sdist: bool = False) -> Iterator[Path]:
    """The interpreter of an environment that holds a package with its extras, and pip."""
    package = packages.sdist if sdist else packages.wheel
    pins = ["--constraint", str(CONSTRAINTS)] if extras else []
    needs = [need for need in packages.metadata.get_all("Requires-Dist", []) if "dev" not in need]
    key = "\n".join([extras, str(sdist), *needs, CONSTRAINTS.read_text() if extras else ""])

    def fill(python: Path) -> None:
        more = ["hatchling"] if sdist else []
        wanted = f"{packages.wheel}[{extras}]" if extras else str(packages.wheel)
        run(python, *PIP, "install", "--no-compile", *pins, wanted, *more)

    with environment(find_python(version), f"packages-{version}", key, fill, alone=True) as python:
        again = ["--force-reinstall", "--no-deps", *(["--no-build-isolation"] if sdist else [])]
        run(python, *PIP, "install", *again, package)
        run(python, *PIP, "check")
        yield python


@pytest.fixture(
    scope="module",
    params=[("3.11", "server,shell"), ("3.12", "server"), ("3.13", "server,shell")],
    ids=["3.11", "3.12-from-sdist-without-numpy", "3.13"],
)
def full(request: pytest.FixtureRequest, packages: Packages) -> Iterator[tuple[Path, bool]]:
    """An interpreter with the server, and whether the tools of a data scientist are there."""
    version, extras = request.param
    for python in installed(packages, version, extras, sdist=extras == "server"):
        if "shell" in extras:
            run(python, "-c", "import sklearn.ensemble, pandas")  # compiles what the shells will import
        yield python, "shell" in extras


@pytest.fixture(scope="module")
def other_server(
    full: tuple[Path, bool], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, Path, bool]]:
    """A server of that installation."""
    python, has_tools = full
    folder = tmp_path_factory.mktemp("installed")
    with stopping(start_server(folder, program=python.with_name("gristmill"))) as running:
        yield running, python, has_tools


def test_an_installed_server_starts_publishes_and_scores(
    other_server: tuple[Server, Path, bool], tmp_path: Path
) -> None:
    server, python, has_tools = other_server
    for name, script in {"area": PLAIN, **({"forest": MODEL} if has_tools else {})}.items():
        (tmp_path / f"{name}.py").write_text(script)
        said = run(python, tmp_path / f"{name}.py", server.url, server.password, name, cwd=tmp_path)
        assert said == "answered\n"
    with server.client() as admin:
        assert admin.get("/docs").status_code == 200
        assert admin.get("/status").json()["statusCode"] == "pass"
        if shutil.which("R"):
            path = publish(
                admin, "r", "y <- 2 * x", runtime="R", inputs={"x": "vector"}, outputs={"y": "vector"}
            )
            assert call(admin, path, x=[1.5, 2])["y"] == [3, 4]


def test_an_installed_command_says_its_version(full: tuple[Path, bool], tmp_path: Path) -> None:
    python, _ = full
    assert run(python.with_name("gristmill"), "--version", cwd=tmp_path).split() == [
        "gristmill",
        gristmill.__version__,
    ]


@pytest.fixture(scope="module")
def base(packages: Packages) -> Iterator[Path]:
    """Python 3.9 with the client alone."""
    yield from installed(packages, "3.9")


def test_the_base_install_is_light(base: Path, tmp_path: Path) -> None:
    listed = run(base, "-m", "pip", "list", "--format=freeze", cwd=tmp_path).lower().split()
    names = {line.split("==")[0] for line in listed}
    assert {"gristmill", "httpx", "dill", "typer", "rich"} <= names
    assert not names & {"starlette", "fastapi", "sqlalchemy", "numpy", "pandas", "cryptography", "uvicorn"}
    assert len(names) < 30


def test_the_client_works_under_python_3_9(base: Path, server: Server, tmp_path: Path) -> None:
    script = tmp_path / "plain.py"
    script.write_text(PLAIN)
    assert run(base, script, server.url, server.password, "from-3.9", cwd=tmp_path) == "answered\n"
    listed = run(base.with_name("gristmill"), "services", "--help", cwd=tmp_path)
    assert "services" in listed
