"""The images `python` and `r`, built as users build them, run as a careful administrator runs them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from gristmill import __version__
from gristmill.launch.landlock import is_offered
from tests.containers import Container, Docker, docker_daemon, layer_sizes, registry
from tests.e2e.publishing import call, publish
from tests.e2e.test_drain import until_busy, until_draining
from tests.servers import ADMIN_PASSWORD

pytestmark = [pytest.mark.needs_docker, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
PYTHON, R = "gristmill:test-python", "gristmill:test-r"
BOTH = pytest.mark.parametrize("image", [PYTHON, R])
#: Megabytes that a machine fetches that has nothing of it.
LIMITS = {PYTHON: 250, R: 450}
#: Handed to the build in its environment; must be nowhere in what comes out.
CANARY = "canary-Zx81-never-in-an-image"
SUM = ("y = x + 1", {"x": "numeric"}, {"y": "numeric"})
THERE_IS_NO_R = "there is no R on this machine: only Python services can be published"
#: Looks where the server's secrets are: in the environment of its processes, and in its folder.
SPY = """
import pathlib
found = []
for place in [*pathlib.Path("/proc").glob("[0-9]*/environ"), *pathlib.Path("/var/lib/gristmill").rglob("*")]:
    try:
        if place.suffix == ".pem" or b"ADMIN_PASSWORD" in place.read_bytes():
            found.append(str(place))
    except OSError:
        pass
"""
FOREST = """
data(Boston, package = "MASS")
set.seed(7)
forest <- randomForest::randomForest(medv ~ ., data = Boston, ntree = 20)
y <- unname(predict(forest, Boston[1:3, ]))
"""
#: Two lines of JSON, to the last bit: the rows as columns, and what the model says to them here.
TEN_ROWS = """
suppressPackageStartupMessages(library(randomForest))
rows <- MASS::Boston[1:10, ]
json <- function(numbers) sprintf("[%s]", paste(sprintf("%.17g", as.numeric(numbers)), collapse = ","))
cat(sprintf("{%s}", paste0("\\"", names(rows), "\\":", sapply(rows, json), collapse = ",")), "\\n", sep = "")
cat(json(predict(readRDS("bos_rf.rds"), rows)))
"""


@pytest.fixture(scope="module")
def docker() -> Iterator[Docker]:
    with docker_daemon() as daemon:
        daemon.build("all", GRISTMILL_ADMIN_PASSWORD=CANARY)
        yield daemon


@pytest.fixture(scope="module")
def boxes(docker: Docker) -> Iterator[dict[str, Container]]:
    """A server of each image, for all tests that do it no harm."""
    with docker.container(PYTHON) as python, docker.container(R) as r:
        for box in (python, r):
            box.wait_ready()
        yield {PYTHON: python, R: r}


@BOTH
def test_it_scores_without_rights_on_a_read_only_root(boxes: dict[str, Container], image: str) -> None:
    with boxes[image].client() as client:
        code, inputs, outputs = SUM
        path = publish(client, "sum", code, inputs=inputs, outputs=outputs)
        assert call(client, path, x=41) == {"y": 42}


def test_the_image_with_r_scores_a_forest_of_r(boxes: dict[str, Container]) -> None:
    with boxes[R].client() as client:
        path = publish(client, "forest", FOREST, runtime="R", outputs={"y": "vector"})
        scores = call(client, path)["y"]
    assert len(scores) == 3
    assert all(15 < score < 40 for score in scores), "Boston's first three houses cost 24, 21.6 and 34.7"


def test_an_old_script_finds_all_that_mrsdeploy_had(boxes: dict[str, Container]) -> None:
    exported = boxes[R].run("Rscript", "-e", "library(mrsdeploy); cat(ls('package:mrsdeploy'))").split()
    functions = (Path(__file__).parent / "mrsdeploy_functions.txt").read_text().split()
    assert set(functions) <= set(exported)
    ours = boxes[R].run("Rscript", "-e", "cat(getNamespaceExports('gristmill'))").split()
    assert set(ours) == set(exported)


@BOTH
def test_all_processes_are_of_the_user_without_rights(boxes: dict[str, Container], image: str) -> None:
    lines = boxes[image].docker("top", boxes[image].name, "-eo", "pid,uid,gid,args").splitlines()[1:]
    processes = {int(pid): what for pid, *what in (line.split(None, 3) for line in lines)}
    assert len(processes) > 3
    assert {(uid, gid) for uid, gid, _ in processes.values()} == {("10001", "10001")}
    assert processes[boxes[image].state["Pid"]][2] == "/usr/bin/tini -- gristmill serve"


@BOTH
def test_only_the_volume_and_tmp_can_be_written(boxes: dict[str, Container], image: str) -> None:
    program = (
        "for f in /x /opt/gristmill/x /gristmill/publish/x /tmp/x x; do (: >$f) 2>/dev/null && echo $f; done"
    )
    assert boxes[image].run("sh", "-c", program).split() == ["/tmp/x", "x"]


def test_its_own_check_says_when_it_is_ready_and_when_not(
    docker: Docker, boxes: dict[str, Container]
) -> None:
    check = docker.inspect(PYTHON)["Config"]["Healthcheck"]["Test"]
    assert check[0] == "CMD"
    boxes[PYTHON].run(*check[1:])
    with pytest.raises(RuntimeError, match="nothing answers at port 1"):
        docker("exec", "--env", "GRISTMILL_PORT=1", boxes[PYTHON].name, *check[1:])


def test_docker_finds_it_healthy(docker: Docker) -> None:
    with docker.container(PYTHON, "--health-interval=1s") as box:
        box.wait_healthy()
        assert httpx.get(f"{box.url}/health/ready").status_code == 200


def test_what_is_published_is_there_after_a_restart_on_the_same_volume(docker: Docker) -> None:
    docker("volume", "create", "kept")
    try:
        volume = "--volume=kept:/var/lib/gristmill"
        with docker.container(PYTHON, volume) as first:
            first.wait_ready()
            with first.client() as client:
                code, inputs, outputs = SUM
                path = publish(client, "sum", code, inputs=inputs, outputs=outputs)
                token = dict(client.headers)
            docker("kill", first.name)
        with docker.container(PYTHON, volume) as second:
            second.wait_ready()
            answer = httpx.post(second.url + path, json={"x": 1}, headers=token)
            assert answer.json()["outputParameters"] == {"y": 2}
    finally:
        docker("volume", "rm", "kept")


def test_a_folder_for_publishing_is_served_when_it_is_ready(docker: Docker, tmp_path: Path) -> None:
    bundle = tmp_path / "boston"
    shutil.copytree(ROOT / "examples" / "boston-r", bundle)
    tool = ["--network=none", "--user=0", "--entrypoint=Rscript", "--workdir=/work"]
    tool.append(f"--volume={bundle}:/work")
    docker("run", "--rm", *tool, R, "bos_rf.R")
    rows, scores = docker("run", "--rm", *tool, R, "-e", TEN_ROWS).splitlines()
    with docker.container(R, f"--volume={bundle}:/gristmill/publish/boston:ro") as box:
        box.wait_ready()
        with box.client() as client:
            assert call(client, "/api/bos-rf/1.0.0", inputData=json.loads(rows))["pred"] == json.loads(scores)


def test_asked_to_stop_it_finishes_calls_in_flight_and_ends_with_0(docker: Docker) -> None:
    answers: list[httpx.Response] = []
    with docker.container(PYTHON, environment={"GRISTMILL_POOL_INITIAL": "1"}) as box:
        box.wait_ready()
        with box.client() as client, box.client() as late:
            path = publish(client, "slow", "import time; time.sleep(1.5); y = 1", outputs={"y": "integer"})
            caller = threading.Thread(target=lambda: answers.append(client.post(path, json={})))
            caller.start()
            until_busy(late)
            docker("kill", "--signal", docker.inspect(PYTHON)["Config"]["StopSignal"], box.name)
            until_draining(late)
            caller.join()
        assert box.end() == 0
    assert answers[0].json()["outputParameters"] == {"y": 1}


def test_published_code_finds_no_secret(boxes: dict[str, Container]) -> None:
    if not is_offered():
        pytest.skip("the kernel offers no Landlock here")
    box = boxes[PYTHON]
    with box.client() as client:
        status = client.get("/status").json()["components"]["backends"]["details"]
        assert (status["isolation"], status["warnings"]) == ("Landlock", [THERE_IS_NO_R])
        path = publish(client, "spy", SPY, outputs={"found": "vector"})
        assert call(client, path)["found"] == []
    assert ADMIN_PASSWORD in box.run("cat", "/proc/1/environ"), "it is there to be found"


def test_where_namespaces_are_allowed_published_code_finds_no_secret(docker: Docker) -> None:
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "unshare", "--user", "true"]
    if subprocess.run(nobody, capture_output=True, check=False).returncode:
        pytest.skip("users without rights may not make namespaces on this machine")
    allowed = ["--security-opt=seccomp=unconfined", "--security-opt=systempaths=unconfined"]
    with docker.container(PYTHON, *allowed) as box:
        box.wait_ready()
        with box.client() as client:
            status = client.get("/status").json()["components"]["backends"]["details"]
            assert status["isolation"] == "bubblewrap"
            path = publish(client, "spy", SPY, outputs={"found": "vector"})
            assert call(client, path)["found"] == []
        assert ADMIN_PASSWORD in box.run("cat", "/proc/1/environ"), "it is there to be found"


@BOTH
def test_the_bill_of_materials_lists_all_that_is_in_it(boxes: dict[str, Container], image: str) -> None:
    bill = json.loads(boxes[image].run("cat", "/usr/share/doc/gristmill/sbom.cdx.json"))
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    parts = {part["purl"].split("@")[0]: part for part in bill["components"]}
    assert parts["pkg:pypi/gristmill"]["version"] == __version__
    pinned = dict(re.findall(r"^(\S+)==(\S+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    assert parts["pkg:pypi/numpy"]["version"] == pinned["numpy"]
    packages = boxes[image].run("dpkg-query", "--show", "--showformat", "${Package}\n").split()
    assert {f"pkg:deb/debian/{name}" for name in packages} <= {purl.replace("%2B", "+") for purl in parts}
    of_r = {"pkg:deb/debian/r-base-core", "pkg:cran/randomForest", "pkg:cran/gristmill", "pkg:cran/mrsdeploy"}
    assert of_r & parts.keys() == (of_r if image == R else set())


def test_they_are_as_small_as_promised(docker: Docker, tmp_path: Path) -> None:
    with registry(tmp_path) as address:
        for image, limit in LIMITS.items():
            docker("tag", image, f"{address}/{image}")
            docker("push", f"{address}/{image}")
            docker("rmi", f"{address}/{image}")
            sizes = layer_sizes(address, *image.split(":"))
            assert sum(sizes) / 1e6 <= limit, sizes


@BOTH
def test_labels_say_what_it_is_and_of_which_commit(docker: Docker, image: str) -> None:
    labels = docker.inspect(image)["Config"]["Labels"]
    assert labels["org.opencontainers.image.version"] == __version__
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert re.fullmatch(r"[0-9a-f]{40}(-modified)?|unknown", labels["org.opencontainers.image.revision"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", labels["org.opencontainers.image.created"])


@BOTH
def test_history_and_settings_hold_no_secret(docker: Docker, image: str) -> None:
    told = docker("history", "--no-trunc", image) + json.dumps(docker.inspect(image))
    assert CANARY not in told
    assert not re.search(r"(?i)password|secret|token|private.key", told)


@BOTH
def test_files_hold_no_secret_no_history_and_no_cache(docker: Docker, image: str, tmp_path: Path) -> None:
    name, archive = docker("create", image), tmp_path / "files.tar"
    docker("export", "--output", str(archive), name)
    docker("rm", "--volumes", name)
    found = []
    with tarfile.open(archive) as files:
        for file in files:
            if UNWANTED.search(file.name):
                found.append(file.name)
            elif file.isfile() and file.size < 1_000_000 and not file.name.endswith((".pyc", ".so")):
                content = files.extractfile(file)
                assert content is not None
                if _holds_a_secret(content.read()):
                    found.append(file.name)
    assert not found


UNWANTED = re.compile(
    r"(^|/)(\.\w*history|\.netrc|\.pypirc|\.git|\.env|id_(rsa|dsa|ecdsa|ed25519))$"
    r"|^(var/lib/apt/lists|var/cache/apt|var/log|var/lib/gristmill|root/.cache|root/.local|tmp|build|out)/."
)


def _holds_a_secret(content: bytes) -> bool:
    key = re.search(rb"^-----BEGIN [A-Z ]*PRIVATE KEY-----\r?\n[A-Za-z0-9+/=]{40}", content, re.MULTILINE)
    return key is not None or CANARY.encode() in content


def test_byte_code_is_compiled_ahead_and_used_as_it_is(boxes: dict[str, Container]) -> None:
    program = """
import pathlib, sys, sysconfig
for source in pathlib.Path(sysconfig.get_path("purelib"), "gristmill").rglob("*.py"):
    code = source.parent / "__pycache__" / f"{source.stem}.{sys.implementation.cache_tag}.pyc"
    assert int.from_bytes(code.read_bytes()[4:8], "little") == 1, f"{code} is compared with its source"
import gristmill.app.server, numpy, pandas, sklearn.ensemble, onnxruntime
cached = [pathlib.Path(m.__cached__) for m in sys.modules.values() if getattr(m, "__cached__", None)]
print(len(cached), *(path for path in cached if not path.exists()))
"""
    count, *lacking = boxes[PYTHON].run("python", "-c", program).split()
    assert int(count) > 500
    assert not lacking


def test_a_build_sees_nothing_but_what_it_needs(docker: Docker, tmp_path: Path) -> None:
    file, tag = tmp_path / "Containerfile", "gristmill-context:test"
    file.write_text(f"FROM {docker.base_image()}\nCOPY . /context\n")
    docker("build", "--quiet", "--file", str(file), "--tag", tag, str(ROOT))
    seen = docker("run", "--rm", "--network=none", tag, "find", "/context", "-type", "f").split()
    docker("rmi", tag)
    tops = {path.split("/")[2] for path in seen}
    assert tops == {"LICENSE", "README.md", "constraints.txt", "deploy", "pyproject.toml", "r", "src"}
    assert not [path for path in seen if path.endswith(".pyc") or "/." in path]
