"""Shells without bubblewrap, as in a container: what the kernel's Landlock keeps from them."""

from collections.abc import Callable

import pytest

from gristmill.launch.landlock import is_offered
from tests.e2e.publishing import call, publish
from tests.servers import Server

pytestmark = pytest.mark.skipif(not is_offered(), reason="the kernel offers no Landlock here")
IN_PYTHON = """
import os, pathlib, tempfile
def tried(work):
    try:
        work()
    except OSError as error:
        return type(error).__name__
    return "done"
found = [
    tried(lambda: open(f"{data}/signing-key.pem")), tried(lambda: os.listdir(data)),
    tried(lambda: open(f"{data}/new", "w")), tried(lambda: os.listdir("/tmp")),
    tried(lambda: pathlib.Path("here.txt").write_text("x")), tried(lambda: tempfile.TemporaryFile()),
]
"""
IN_R = """
tried <- function(work) {
    refused <- function(condition) "refused"
    tryCatch({ force(work); "done" }, error = refused, warning = refused)
}
found <- c(tried(readLines(file.path(data, "signing-key.pem"))), tried(writeLines("x", "/tmp/x")),
           tried(writeLines("x", "here.txt")), tried(writeLines("x", tempfile())))
"""


@pytest.mark.parametrize(
    ("runtime", "code", "found"),
    [
        ("Python", IN_PYTHON, ["PermissionError"] * 4 + ["done"] * 2),
        pytest.param("R", IN_R, ["refused"] * 2 + ["done"] * 2, marks=pytest.mark.needs_r),
    ],
)
def test_published_code_works_in_its_folder_and_cannot_open_the_servers_files(
    serve: Callable[..., Server], runtime: str, code: str, found: list[str]
) -> None:
    server = serve("--no-bubblewrap")
    with server.client() as client:
        status = client.get("/status").json()["components"]["backends"]["details"]
        assert "Landlock" in status["isolation"]
        assert not [warning for warning in status["warnings"] if "can read" in warning]
        path = publish(
            client, "look", code, runtime=runtime, inputs={"data": "character"}, outputs={"found": "vector"}
        )
        assert call(client, path, data=str(server.data))["found"] == found
