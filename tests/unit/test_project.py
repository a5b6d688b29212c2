"""What holds for the project as a whole."""

import ast
import functools
import importlib
import os
import pkgutil
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import gristmill

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
SCRIPTS = sorted(path for path in (ROOT / "scripts").iterdir() if not path.suffix)
R_FILES = sorted([*(ROOT / "src").rglob("*.R"), *(ROOT / "examples").rglob("*.R")])
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])
#: These run when they are imported.
PROGRAMS = re.compile(r"\.__main__$|\.bootstrap$|\.migrations\b")


def modules() -> list[str]:
    found = pkgutil.walk_packages(gristmill.__path__, "gristmill.")
    return [module.name for module in found if not PROGRAMS.search(module.name)]


def tracked() -> list[Path]:
    """Files of the repository; in an unpacked sdist, all that is there."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    names = listed.stdout.split("\0")[:-1] if listed.returncode == 0 else [str(p) for p in ROOT.rglob("*")]
    return [path for path in (ROOT / name for name in names) if path.is_file()]


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from its first statement on: a long signature of flags and a docstring are no complication."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_the_version_is_the_changelogs_first() -> None:
    first = re.search(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert first is not None
    assert first[1] == gristmill.__version__


@functools.cache
def imported() -> dict[str, set[str]]:
    """Module → the names that other modules of the package import from it."""
    found: dict[str, set[str]] = {}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("gristmill"):
                found.setdefault(node.module, set()).update(alias.name for alias in node.names)
    return found


@pytest.mark.parametrize("name", modules())
def test_all_lists_what_others_import_and_nothing_that_is_not_there(name: str) -> None:
    module = importlib.import_module(name)
    public = set(getattr(module, "__all__", ()))
    assert {listed for listed in public if not hasattr(module, listed)} == set()
    within = {child.name for child in pkgutil.iter_modules(getattr(module, "__path__", ()))}
    assert imported().get(name, set()) - within - public - {"__version__"} == set()


@pytest.mark.parametrize("path", SOURCES, ids=shown)
def test_no_module_is_past_400_lines_and_no_function_past_60(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= 400
    functions = [
        n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    long = [function.name for function in functions if body_lines(function) > 60]
    assert long == []


@pytest.mark.parametrize(
    "path",
    [
        *(ROOT / f"src/gristmill/{name}.py" for name in ("__init__", "coerce", "errors", "frames", "schema")),
        *sorted((ROOT / "src/gristmill/python_shell").rglob("*.py")),
    ],
    ids=shown,
)
def test_the_shells_modules_are_written_in_the_python_of_3_8(path: Path) -> None:
    ast.parse(path.read_text(), feature_version=(3, 8))


def test_no_file_names_the_host_of_a_package_registry() -> None:
    hosts = re.compile("|".join(("pypi" + r"\.org", "pythonhosted" + r"\.org", "cran.r-project" + r"\.org")))
    named = [shown(path) for path in tracked() if hosts.search(path.read_text(errors="replace"))]
    assert named == []


def test_constraints_pin_versions_and_nothing_else() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert [line for line in lines if not re.fullmatch(r"#.*|[\w.-]+==[\w.!+]+", line)] == []


@pytest.mark.needs_r
@pytest.mark.parametrize("path", R_FILES, ids=shown)
def test_every_r_file_parses(path: Path) -> None:
    parse = "invisible(parse(commandArgs(TRUE)[1], encoding = 'UTF-8'))"
    done = subprocess.run(
        ["Rscript", "--vanilla", "-e", parse, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", SCRIPTS, ids=shown)
def test_every_script_explains_itself(path: Path) -> None:
    assert os.access(path, os.X_OK)
    text = path.read_text()
    assert text.startswith("#!/usr/bin/env bash\n")
    assert "\nset -euo pipefail\n" in text
    told = subprocess.run(
        [f"./{path.name}", "--help"], cwd=path.parent, capture_output=True, text=True, check=True
    )
    assert told.stdout.startswith(f"scripts/{path.name}")
    assert told.stderr == ""


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_every_relative_link_of_a_page_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)|(?:src|srcset)=\"([^\"]+)\"", page.read_text())
    targets = [link or source for link, source in links]
    local = [target for target in targets if not re.match(r"[a-z]+:", target)]
    assert [target for target in local if not (page.parent / target).exists()] == []


def test_the_reference_is_what_the_commands_and_routes_say() -> None:
    check = [sys.executable, str(ROOT / "docs/generate.py"), "--check"]
    told = subprocess.run(check, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist of this tree."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "-d", str(folder), "-t", "wheel", "-t", "sdist"]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_wheel_carries_the_files_that_are_no_python(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    package = ROOT / "src/gristmill"
    expected = {
        str(path.relative_to(ROOT / "src"))
        for path in package.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert expected - names == set()
    assert any(name.endswith(".R") for name in names)
    assert any("/web/static/" in name for name in names)
    assert any("/db/migrations/versions/" in name for name in names)


def test_the_sdist_carries_what_a_build_and_a_reader_need(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    assert {"pyproject.toml", "LICENSE", "README.md", "CHANGELOG.md", "scripts/test"} <= names
    assert {"deploy/containers/Containerfile", "r/DESCRIPTION", ".dockerignore"} <= names, "to build images"
    assert {shown(path) for path in SOURCES} <= names
