"""From a folder to an image, a registry and a server, as a data scientist types it; by docker, for real."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pandas
import pytest

from tests.containers import Docker, docker_daemon
from tests.e2e.publishing import call
from tests.registries import USERNAME, Registry, running_registry

pytestmark = [pytest.mark.needs_docker, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
BASE = "gristmill:test-r"
#: A package of R that no distribution has, and that needs one which Debian has and the image has not.
BOXCAR = """Package: boxcar
Version: 1.2.3
Title: A Package of the Tests
Description: Carries things.
License: Apache License 2.0
Author: Nobody
Maintainer: Nobody <nobody@example.com>
Imports: zoo
"""


@pytest.fixture(scope="module")
def docker() -> Iterator[Docker]:
    with docker_daemon() as daemon:
        daemon.build("r")
        yield daemon


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with running_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


def gristmill(docker: Docker, *words: str | Path, stdin: str = "", code: int = 0) -> str:
    """What the command prints on its standard output; if it is to fail, on the other."""
    program = "from gristmill.app.cli import main; main()"
    command = [sys.executable, "-c", program, *map(str, words)]
    ended = subprocess.run(
        command, env=docker.environment, input=stdin, capture_output=True, text=True, check=False
    )
    assert ended.returncode == code, ended.stdout + ended.stderr
    return ended.stderr if code else ended.stdout


def build(docker: Docker, folder: Path, tag: str, *words: str | Path, code: int = 0) -> str:
    return gristmill(
        docker, "build", folder, "--tag", tag, "--base", BASE, "--network", "host", *words, code=code
    )


@pytest.fixture(scope="module")
def boston(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example in R, its model fitted."""
    folder = tmp_path_factory.mktemp("examples") / "boston-r"
    shutil.copytree(ROOT / "examples" / "boston-r", folder)
    fit = (
        "--network=none",
        "--user=0",
        "--workdir=/work",
        f"--volume={folder}:/work",
        "--entrypoint=Rscript",
    )
    docker("run", "--rm", *fit, BASE, "bos_rf.R")
    return folder


@pytest.fixture(scope="module")
def image(docker: Docker, boston: Path) -> str:
    build(docker, boston, "boston:1.0.0")
    return "boston:1.0.0"


@pytest.fixture(scope="module")
def small(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image of a few bytes upon a base of a few bytes: what is pushed need not be large."""
    folder = tmp_path_factory.mktemp("small")
    with tarfile.open(folder / "base.tar", "w") as archive:
        archive.add(__file__, "etc/base")
    docker("import", str(folder / "base.tar"), "small-base:1")
    (folder / "deploy.py").write_text("import gristmill\n")
    (folder / ".gristmillignore").write_text("*.tar\n")
    gristmill(docker, "build", folder, "--tag", "small:1.0.0", "--base", "small-base:1")
    return "small:1.0.0"


def test_the_folder_of_the_example_becomes_a_server_that_predicts(docker: Docker, image: str) -> None:
    with docker.container(image) as box:
        box.wait_ready()
        log = box.log()
        with box.client() as client:
            rows = pandas.read_csv(ROOT / "examples" / "boston" / "boston.csv").head(10).drop(columns="medv")
            scores = call(client, "/api/bos-rf/1.0.0", inputData=rows.to_dict("list"))["pred"]
    assert len(scores) == 10
    assert all(15 < score < 40 for score in scores), "Boston's first ten cost 15 to 36.2"
    assert "equal bit for bit to predict()" in log, (
        "the script compares, and a difference would have ended it"
    )


def test_all_but_the_folder_stays_as_in_the_base(docker: Docker, image: str) -> None:
    ours, base = (docker.inspect(name)["Config"] for name in (image, BASE))
    for key in ("User", "Entrypoint", "Cmd", "Env", "Healthcheck", "StopSignal", "Volumes", "WorkingDir"):
        assert ours[key] == base[key], key


def test_the_folder_is_roots_and_the_server_may_only_read_it(docker: Docker, image: str) -> None:
    inside = ("run", "--rm", "--network=none", "--entrypoint=sh", image, "-c")
    listed = docker(
        *inside, "cd /gristmill/publish && find bos-rf -printf '%p %u %m %T@\\n' | sort"
    ).splitlines()
    assert [line.rpartition(" ")[0] for line in listed[1:]] == [
        "bos-rf/bos_rf.rds root 644",
        "bos-rf/bos_rf_deploy.R root 644",
        "bos-rf/gristmill.toml root 644",
    ]
    assert listed[0].startswith("bos-rf root 755")
    assert {line.rpartition(" ")[2].partition(".")[0] for line in listed[1:]} == {"315532800"}
    refused = docker(*inside, "touch /gristmill/publish/bos-rf/x || echo refused")
    assert refused == "refused"


def test_equal_folders_make_one_image(docker: Docker, boston: Path, image: str, tmp_path: Path) -> None:
    again = tmp_path / "elsewhere"
    again.mkdir()
    for path in boston.iterdir():
        shutil.copyfile(path, again / path.name)  # with other times, and other modes
        (again / path.name).chmod(0o600)
    said = json.loads(build(docker, again, "again:1", "--json"))
    assert said["id"] == docker.inspect(image)["Id"]


def test_an_image_goes_to_a_registry_and_comes_back_by_its_digest(
    docker: Docker, small: str, registry: Registry
) -> None:
    target = f"{registry.address}/models"
    login = ("--username", USERNAME, "--password-stdin")
    said = gristmill(docker, "push", small, target, *login, "--json", stdin=f"{registry.password}\n")
    exact = json.loads(said)["exact"]
    listed = gristmill(docker, "registry", "tags", f"{target}/small", *login, stdin=f"{registry.password}\n")
    assert listed == "1.0.0\n"
    refused = docker("pull", exact, check=False)
    assert refused == "", "the login is forgotten"
    config = Path(docker.environment["DOCKER_CONFIG"]) / "config.json"
    assert not config.exists() or registry.address not in config.read_text()
    docker("login", "--username", USERNAME, "--password", registry.password, registry.address)
    docker("rmi", f"{target}/small:1.0.0")
    docker("pull", exact)
    assert docker.inspect(exact)["Id"] == docker.inspect(small)["Id"]
    again = gristmill(docker, "push", small, f"{registry.address}/other/name:2")
    assert again.startswith(f"Pushed {registry.address}/other/name:2\n"), "the login of docker is used"
    docker("logout", registry.address)


def test_without_the_right_login_nothing_is_pushed(docker: Docker, small: str, registry: Registry) -> None:
    target = f"{registry.address}/secret"
    login = ("--username", USERNAME, "--password-stdin")
    assert "wants a login" in gristmill(docker, "push", small, target, code=3)
    wrong = gristmill(docker, "push", small, target, *login, stdin="wrong\n", code=3)
    assert f"does not take the account '{USERNAME}'" in wrong
    missing = gristmill(docker, "push", "no-such-image:1", target, code=4)
    assert "no image no-such-image:1 on this machine" in missing


def test_a_python_folder_gets_its_packages_and_predicts_as_at_home(docker: Docker, tmp_path: Path) -> None:
    for name in ("boston", "boston-python"):
        shutil.copytree(ROOT / "examples" / name, tmp_path / name)
    folder = tmp_path / "boston-python"
    subprocess.run([sys.executable, "fit.py"], cwd=folder, check=True, capture_output=True)
    with (folder / "requirements.txt").open("a") as requirements:
        requirements.write("toolz>=0.12\n")
    build(docker, folder, "boston-python:1")
    inside = ("run", "--rm", "--network=none", "--entrypoint=python", "boston-python:1", "-c")
    assert docker(*inside, "import toolz; print(toolz.identity(7))") == "7"
    with docker.container("boston-python:1") as box:
        box.wait_ready()
        with box.client() as client:
            rows = pandas.read_csv(folder / "check.csv")
            asked = rows.drop(columns="pred").to_dict("list")
            answer = call(client, "/api/bos-rf-python/1.0.0", inputData=asked)
    (scores,) = answer.values()
    assert scores == rows["pred"].tolist()


@pytest.fixture
def repository(docker: Docker, tmp_path: Path) -> Iterator[str]:
    """The address of a repository of R packages that has boxcar, in source."""
    source, contrib = tmp_path / "source" / "boxcar", tmp_path / "cran" / "src" / "contrib"
    (source / "R").mkdir(parents=True)
    contrib.mkdir(parents=True)
    (source / "DESCRIPTION").write_text(BOXCAR)
    (source / "NAMESPACE").write_text("export(carry)\nimportFrom(zoo, zoo)\n")
    (source / "R" / "carry.R").write_text("carry <- function(x) x\n")
    work = ("--network=none", "--user=0", f"--volume={tmp_path}:/work", "--workdir=/work/cran/src/contrib")
    docker("run", "--rm", *work, "--entrypoint=R", BASE, "CMD", "build", "/work/source/boxcar")
    docker("run", "--rm", *work, "--entrypoint=Rscript", BASE, "-e", "tools::write_PACKAGES(type = 'source')")
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "cran"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_an_r_package_that_debian_does_not_have_comes_from_the_repository(
    docker: Docker, repository: str, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "deploy.R").write_text("library(boxcar)\n")
    build(docker, folder, "boxcar:1", "--r-package", "boxcar", "--r-repository", repository)
    inside = ("run", "--rm", "--network=none", "--entrypoint=Rscript", "boxcar:1", "-e")
    assert (
        docker(*inside, "cat(boxcar::carry(7), system.file(package = 'zoo'))")
        == "7 /usr/lib/R/site-library/zoo"
    )
    said = build(
        docker, folder, "none:1", "--r-package", "noSuchPackage", "--r-repository", repository, code=1
    )
    assert f"neither Debian nor {repository} has the R package noSuchPackage" in said


def test_packages_that_do_not_fit_the_servers_own_end_the_build(docker: Docker, tmp_path: Path) -> None:
    (tmp_path / "deploy.py").write_text("import gristmill\n")
    (tmp_path / "requirements.txt").write_text("no-such-package-of-nobody==1.0\n")
    said = build(docker, tmp_path, "none:1", code=1)
    assert "no-such-package-of-nobody" in said
    assert docker("images", "--quiet", "none:1") == ""


def test_a_base_that_is_nowhere_is_named(docker: Docker, boston: Path) -> None:
    said = gristmill(docker, "build", boston, "--base", "127.0.0.1:9/nowhere:1", code=4)
    assert "there is no image 127.0.0.1:9/nowhere:1 to build upon" in said
