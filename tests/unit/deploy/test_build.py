"""Building with programs that only say they are builders: what they are asked, and what they answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from gristmill.deploy.build import Built, build, plan
from gristmill.deploy.builders import Program, choose
from gristmill.deploy.errors import (
    BadFolder,
    BadProject,
    BaseImageMissing,
    BuilderForbidden,
    BuilderUnavailable,
    BuildFailed,
    NoBuilder,
)
from gristmill.deploy.project import Options
from tests.programs import Programs

ID = f"sha256:{'1f' * 32}"
#: A docker that builds: it keeps the context, and writes the image's id.
BUILDS = f"""
import shutil
if words[0] == "build":
    shutil.copytree(words[-1], os.path.join(here, "context"))
    open(words[words.index("--iidfile") + 1], "w").write("{ID}")
    for line in ("Step 1/2 : FROM base", " ---> abc", "Step 2/2 : USER 10001"):
        print(line)
elif words[:2] == ["image", "inspect"]:
    print("{ID} 123456789")
"""
NO_DAEMON = """
print("Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?")
sys.exit(1)
"""
NOT_LET_IN = """
print("Got permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock")
sys.exit(1)
"""


def fails(*lines: str) -> str:
    """A docker whose builds end so."""
    said = "\n".join(lines)
    return f"""
if words[0] == "build":
    print({said!r})
    sys.exit(1)
elif words[0] != "info":
    print("{ID} 1")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "boston"
    path.mkdir()
    (path / "deploy.R").write_text("library(gristmill)\n")
    (path / "forest.rds").write_bytes(b"\x1f\x8b" * 50)
    return path


def built(folder: Path, **options: object) -> Built:
    return build(plan(folder, tag="boston:1", options=Options(base="base:1", **options)))  # type: ignore[arg-type]


def test_what_is_built_is_the_folder_as_it_was_planned(
    folder: Path, programs: Programs, tmp_path: Path
) -> None:
    programs.add("docker", BUILDS)
    (folder / "requirements.txt").write_text("# for the model\nnumpy>=2 # newest\n")
    steps: list[tuple[int, int, str]] = []
    what = plan(
        folder,
        tag="boston:1",
        options=Options(base="base:1", r_packages=["MASS"], publish=["deploy.R"]),
        r_repository="https://r.example.com",
        network="host",
    )
    done = build(what, step=lambda *step: steps.append(step))
    assert (str(done.image), done.id, done.size) == ("boston:1", ID, "123 MB")
    assert steps == [(1, 2, "Step 1/2 : FROM base"), (1, 2, " ---> abc"), (2, 2, "Step 2/2 : USER 10001")]
    context = tmp_path / "programs" / "context"
    assert sorted(str(path.relative_to(context)) for path in context.rglob("*") if path.is_file()) == [
        *("Containerfile", "bundle/deploy.R", "bundle/forest.rds", "bundle/gristmill.toml"),
        *("bundle/requirements.txt", "install_packages.R", "requirements.txt"),
    ]
    assert (context / "requirements.txt").read_text() == "numpy>=2\n"
    assert (context / "bundle" / "gristmill.toml").read_text() == 'publish = ["deploy.R"]\n'
    (words,) = programs.words("build")
    place = words[-1]
    assert not Path(place).exists(), "the context is gone afterwards"
    assert words[:-3] == [
        *("build", "--force-rm", "--build-arg", "R_REPOS=https://r.example.com", "--network", "host"),
        *("--file", f"{place}/Containerfile", "--tag", "boston:1"),
    ]


def test_podman_and_buildah_keep_the_health_check_and_take_the_time(
    folder: Path, programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    what = plan(folder, options=Options(base="base:1"))
    for program in (Program.PODMAN, Program.BUILDAH):
        programs.add(str(program))
        command = what.command(choose(program), "CONTEXT")
        layers = ["--layers"] if program is Program.BUILDAH else []
        expected = [program, "build", "--format", "docker", *layers, "--timestamp", "1700000000"]
        assert command[: len(expected)] == expected


def test_of_several_builders_the_first_that_works_is_taken(programs: Programs) -> None:
    programs.add("docker", NO_DAEMON)
    programs.add("podman")
    assert choose().program is Program.PODMAN
    with pytest.raises(BuilderUnavailable, match=r"daemon does not answer: start it"):
        choose(Program.DOCKER)


def test_a_machine_without_builders_is_told_how_to_get_one(programs: Programs) -> None:
    with pytest.raises(NoBuilder, match=r"no docker, podman or buildah .*apt-get install podman"):
        choose()
    programs.add("buildah")
    with pytest.raises(NoBuilder, match="no program docker on the PATH; there is buildah"):
        choose(Program.DOCKER)


def test_a_daemon_that_does_not_let_us_in_says_how_to_get_in(programs: Programs) -> None:
    programs.add("docker", NOT_LET_IN)
    with pytest.raises(BuilderForbidden, match="group docker"):
        choose()


def test_the_address_of_a_daemon_that_is_away_is_said(
    programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere")
    programs.add("docker", NO_DAEMON)
    with pytest.raises(BuilderUnavailable, match="at DOCKER_HOST=unix:///nowhere"):
        choose()


def test_a_build_that_fails_ends_with_the_builders_last_words(folder: Path, programs: Programs) -> None:
    programs.add("docker", fails("Step 1/4 : FROM base", 'Step 3/4 : RUN ["x"]', "E: no such package"))
    with pytest.raises(BuildFailed, match=r'failed at Step 3/4 : RUN \["x"\]\n(.*\n)*  E: no such package$'):
        built(folder)


@pytest.mark.parametrize(
    "said",
    [
        "dial tcp 10.0.0.1:443: connect: connection refused",
        "pull access denied for base, repository does not exist or may require 'docker login'",
        "manifest for base:1 not found: manifest unknown: manifest unknown",
        'Error: creating build container: short-name "base:1" did not resolve to an alias',
        'Get "https://registry-1.docker.io/v2/": dial tcp: lookup registry-1.docker.io: no such host',
    ],
)
def test_a_base_that_cannot_be_had_is_named(folder: Path, programs: Programs, said: str) -> None:
    programs.add("docker", fails("Step 1/4 : FROM base:1", said))
    with pytest.raises(BaseImageMissing, match=r"no image base:1 to build upon.*--base"):
        built(folder)


def test_buildkit_has_no_step_when_the_base_cannot_be_had(folder: Path, programs: Programs) -> None:
    lines = ("#3 [internal] load metadata for base:1", "ERROR: failed to resolve source metadata for base:1")
    programs.add("docker", fails(*lines))
    with pytest.raises(BaseImageMissing, match="no image base:1"):
        built(folder)
    programs.add("docker", fails("#3 [internal] load build context", "ERROR: no space left on device"))
    with pytest.raises(BuildFailed, match="no space left"):
        built(folder)


def test_a_package_that_cannot_be_fetched_is_not_taken_for_the_base(folder: Path, programs: Programs) -> None:
    programs.add("docker", fails("Step 1/4 : FROM base:1", "Step 2/4 : RUN pip", "repository does not exist"))
    with pytest.raises(BuildFailed, match="repository does not exist"):
        built(folder)


def test_gristmills_own_image_that_is_not_there_is_not_looked_for_elsewhere(
    folder: Path, programs: Programs
) -> None:
    programs.add("docker", 'if words[0] == "image": sys.exit(1)')
    with pytest.raises(BaseImageMissing, match=r"scripts/image r in a checkout of Gristmill"):
        build(plan(folder))
    assert programs.words("build") == []


def test_a_daemon_that_ends_during_the_build_is_no_fault_of_the_folder(
    folder: Path, programs: Programs
) -> None:
    programs.add("docker", fails("Step 1/4 : FROM base:1", "error: Is the docker daemon running?"))
    with pytest.raises(BuilderUnavailable):
        built(folder)


def test_a_folder_with_nothing_to_publish_is_told_what_could_be(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(BadProject, match=r"nothing to publish: no \.R or \.py script"):
        plan(tmp_path)


def test_a_script_that_does_not_go_into_the_image_cannot_be_published(folder: Path) -> None:
    (folder / ".gristmillignore").write_text("deploy.R\n")
    with pytest.raises(BadProject, match=r"deploy\.R is to be published, and is not among the files"):
        plan(folder, options=Options(publish=["deploy.R"]))


def test_requirements_are_found_by_name_and_refused_with_their_line(folder: Path) -> None:
    (folder / "other.txt").write_text("numpy\n--pre\n")
    with pytest.raises(BadProject, match=r"no file r\.txt"):
        plan(folder, options=Options(requirements="r.txt"))
    with pytest.raises(Exception, match=r"other\.txt, line 2: '--pre' is an option"):
        plan(folder, options=Options(requirements="other.txt"))
    (folder / "link.txt").symlink_to("/etc/hostname")
    (folder / ".gristmillignore").write_text("link.txt")
    with pytest.raises(BadFolder, match="leaves the folder"):
        plan(folder, options=Options(requirements="link.txt"))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("r_repository", "https://r.example.com/ --no-save"),
        ("r_repository", "https://r.example.com\nX=1"),
        ("r_repository", "ftp://r.example.com"),
        ("r_repository", ""),
        ("network", "host --privileged"),
        ("network", "--privileged"),
        ("network", ""),
        ("tag", f"a@sha256:{'0a' * 32}"),
    ],
)
def test_options_for_the_builder_are_no_more_than_they_say(folder: Path, option: str, value: str) -> None:
    with pytest.raises(BadProject):
        plan(folder, **{option: value})  # type: ignore[arg-type]


def test_what_is_no_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadFolder, match="nowhere is not a folder"):
        plan(tmp_path / "nowhere")
