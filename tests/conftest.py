"""What all tests share."""

import contextlib
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, settings

from gristmill.launch.isolation import detect
from tests import containers
from tests.servers import Server, let_pass, start_server

# How long an example takes says more of what else the machine does than of the code.
settings.register_profile("gristmill", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("gristmill")


# Whoever runs the tests in the background has them ignore Ctrl-C, and so would all that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# The same is true of `nohup` and the end of a terminal.
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked as needing what this machine does not have are skipped."""
    lacking = {}
    if shutil.which("Rscript") is None:
        lacking["needs_r"] = "there is no R on this machine"
    with tempfile.TemporaryDirectory() as folder:
        let_pass(Path(folder))
        isolation, _ = detect(sys.executable, data=Path(folder), network=True)
    if not isolation.bubblewrap:
        lacking["needs_bubblewrap"] = "bubblewrap is not there, or cannot make a sandbox here"
        if not isolation.users:
            lacking["needs_isolation"] = "shells run as the user who runs the tests here"
    if why := containers.lacking():
        lacking["needs_docker"] = why
    for item in items:
        for marker, reason in lacking.items():
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


@contextlib.contextmanager
def stopping(server: Server) -> Iterator[Server]:
    """Lend a server; on leaving it must stop by itself, and cleanly."""
    try:
        yield server
        if server.process.poll() is None:
            assert server.stop() == 0, server.log.read_text()
    finally:
        server.process.kill()
        server.process.wait()
        if server.process.stdout:
            server.process.stdout.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real server with default settings, shared by all tests that do it no harm."""
    with stopping(start_server(tmp_path_factory.mktemp("server"))) as running:
        yield running


@pytest.fixture(scope="session")
def admin(server: Server) -> Iterator[httpx.Client]:
    """A client of the shared server, logged in as admin."""
    with server.client() as client:
        yield client


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """`serve(*flags, environment={…})` starts a server for this test alone; once more, on the same state.

    A test may stop or kill it; one that still runs at the end is stopped, and must end with 0.
    """
    with contextlib.ExitStack() as stack:

        def start(*flags: str, environment: dict[str, str] | None = None) -> Server:
            return stack.enter_context(stopping(start_server(tmp_path, *flags, environment=environment)))

        yield start
