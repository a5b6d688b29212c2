"""`gristmill build`, `push` and `registry` as they are typed, with no builder and no registry behind them."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gristmill import __version__
from gristmill.app.cli import app
from gristmill.app.client_cli_common import Exit
from tests.programs import Programs

runner = CliRunner()


def gristmill(*words: str, stdin: str | None = None) -> Result:
    return runner.invoke(app, [*words], input=stdin)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    for name in (
        "SOURCE_DATE_EPOCH",
        "DOCKER_HOST",
        "GRISTMILL_REGISTRY_USERNAME",
        "GRISTMILL_REGISTRY_PASSWORD",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DOCKER_CONFIG", raising=False)
    return Programs(tmp_path / "programs", monkeypatch)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "boston"
    path.mkdir()
    (path / "deploy.py").write_text("import gristmill\n")
    (path / "requirements.txt").write_text("numpy>=2\n")
    (path / "model.joblib").write_bytes(b"x" * 12345)
    return path


def test_print_shows_all_and_runs_nothing(folder: Path, programs: Programs) -> None:
    programs.add("podman", "sys.exit('ran')")
    done = gristmill("build", str(folder), "--print", "--label", "team=ml", "--network", "host")
    assert done.exit_code == Exit.DONE, done.output
    assert f"FROM gristmill:{__version__}-python\n" in done.stdout
    assert 'LABEL "team"="ml"' in done.stdout
    assert "12,345  model.joblib\n" in done.stdout
    assert "# 3 files, 0.01 MB, to /gristmill/publish/boston/\n" in done.stdout
    assert "# Published at start: deploy.py\n" in done.stdout
    command = shlex.split(done.stdout.splitlines()[-1])
    assert command[:4] == ["podman", "build", "--format", "docker"]
    assert command[-3:] == ["--tag", "boston:latest", "CONTEXT"]
    assert programs.calls == []


def test_print_works_where_there_is_no_builder(folder: Path, programs: Programs) -> None:
    done = gristmill("build", str(folder), "--print", "--builder", "buildah")
    assert done.exit_code == Exit.DONE, done.output
    assert done.stdout.splitlines()[-1].startswith("buildah build ")


def test_the_command_that_is_shown_can_be_pasted(folder: Path, programs: Programs, tmp_path: Path) -> None:
    context = tmp_path / "it's here; rm -rf x"
    done = gristmill("build", str(folder), "--print", "--context", str(context))
    assert shlex.split(done.stdout.splitlines()[-1])[-1] == str(context)
    assert (context / "Containerfile").read_text().startswith("FROM ")
    assert (context / "bundle" / "model.joblib").stat().st_size == 12345


def test_a_context_is_written_into_an_empty_folder_only(folder: Path, programs: Programs) -> None:
    done = gristmill("build", str(folder), "--print", "--context", str(folder))
    assert done.exit_code == Exit.USAGE
    assert "is not empty" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--tag", "a b"], Exit.REFUSED, "image name 'a b'"),
        (["--tag", "--privileged"], Exit.REFUSED, "image name"),
        (["--base", "x\nRUN id"], Exit.REFUSED, "image name"),
        (["--language", "julia"], Exit.REFUSED, "neither python nor r"),
        (["--publish", "nowhere.R"], Exit.REFUSED, "is not among the files"),
        (["--r-package", "a;b"], Exit.REFUSED, "name of an R package"),
        (["--language", "python", "--r-package", "MASS"], Exit.REFUSED, "the language is python"),
        (["--label", "a"], Exit.USAGE, "KEY=VALUE"),
        (["--label", 'a="\nRUN'], Exit.REFUSED, "line breaks"),
        (["--builder", "kaniko"], Exit.USAGE, "docker, podman or buildah"),
        ([], Exit.NOT_FOUND, "no docker, podman or buildah"),
    ],
)
def test_each_mistake_has_its_message_and_exit_code(
    folder: Path, programs: Programs, words: list[str], code: Exit, said: str
) -> None:
    done = gristmill("build", str(folder), *words)
    assert (done.exit_code, said in done.stderr) == (code, True), done.output


def test_a_builders_lines_are_seen_as_they_are_where_nobody_looks(folder: Path, programs: Programs) -> None:
    image = f"sha256:{'1f' * 32}"
    programs.add(
        "docker",
        f"""
if words[0] == "build":
    open(words[words.index("--iidfile") + 1], "w").write("{image}")
    print("Step 1/1 : FROM base")
elif words[0] == "image":
    print("{image} 250000000")
""",
    )
    done = gristmill("build", str(folder), "-t", "boston:1")
    assert done.exit_code == Exit.DONE, done.output
    assert "Step 1/1 : FROM base" in done.stderr
    assert done.stdout.startswith(f"Built boston:1, 250 MB unpacked\nId    {image}\n")
    assert "gristmill push boston:1 REGISTRY/FOLDER" in done.stdout


def test_a_build_that_fails_ends_with_1(folder: Path, programs: Programs) -> None:
    programs.add("docker", 'if words[0] == "build": print("E: broken"); sys.exit(7)\nprint("sha256:00 1")')
    done = gristmill("build", str(folder))
    assert done.exit_code == Exit.FAILED
    assert done.stderr.rstrip().endswith("E: broken")


@pytest.mark.parametrize(
    ("words", "stdin", "said"),
    [
        (
            ["push", "a:1", "r.example.com", "--password-stdin", "-u", "ann"],
            "",
            "no password on standard input",
        ),
        (["push", "a:1", "r.example.com", "--save"], None, "--save keeps a login"),
        (["push", "a:1", "r.example.com", "--builder", "skopeo"], None, "docker, podman or buildah"),
        (["registry", "tags", "boston"], None, "name the registry too"),
        (["registry", "tags", "r.example.com/boston:1"], None, "without a tag"),
        (["registry", "delete", "r.example.com/boston", "--yes"], None, "say which"),
    ],
)
def test_what_is_not_written_as_it_should_be_ends_with_2(
    programs: Programs, words: list[str], stdin: str | None, said: str
) -> None:
    done = gristmill(*words, stdin=stdin)
    assert (done.exit_code, said in done.stderr) == (Exit.USAGE, True), done.output


def test_half_a_login_is_refused(programs: Programs) -> None:
    done = gristmill("push", "a:1", "r.example.com", "-u", "ann")
    assert done.exit_code == Exit.REFUSED
    assert "GRISTMILL_REGISTRY_PASSWORD" in done.stderr


@pytest.mark.parametrize("command", [["build"], ["push"], ["registry"], ["registry", "delete"]])
def test_help_teaches_by_examples(command: list[str]) -> None:
    done = gristmill(*command, "--help")
    assert done.exit_code == Exit.DONE
    assert "Example" in done.stdout
    assert f"gristmill {' '.join(command)}" in done.stdout
