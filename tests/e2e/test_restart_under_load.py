"""Callers of the Python client see nothing of a server that is restarted, or killed, while they call."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable

import pytest

from gristmill.client import Client, connect
from tests.servers import Server

CALLERS = 8


class Caller(threading.Thread):
    """Calls one after the other until it is told to stop."""

    def __init__(self, client: Client, progress: threading.Condition) -> None:
        super().__init__()
        self._service = client.service("double")
        self._progress = progress
        self.stopping = threading.Event()
        self.calls = 0
        self.failed: Exception | None = None

    def run(self) -> None:
        while not self.stopping.is_set() and self.failed is None:
            try:
                assert self._service.consume(self.calls).output() == 2 * self.calls
            except Exception as error:  # noqa: BLE001  # whatever it is, the test shows it
                self.failed = error
            with self._progress:
                self.calls += 1
                self._progress.notify_all()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_no_call_fails_when_the_server_ends_and_comes_back(
    serve: Callable[..., Server], ending: signal.Signals
) -> None:
    server = serve("--pool-initial", "1")
    progress = threading.Condition()
    with connect(server.url, username="admin", password=server.password) as client:
        client.publish("double", "y = x * 2", inputs={"x": int}, outputs={"y": int}, version="1")
        callers = [Caller(client, progress) for _ in range(CALLERS)]
        for caller in callers:
            caller.start()
        until_each_has_called(callers, progress)
        server.process.send_signal(ending)
        server.process.wait(timeout=60)
        serve("--pool-initial", "1", "--port", server.url.rsplit(":", 1)[1])
        until_each_has_called(callers, progress)
        for caller in callers:
            caller.stopping.set()
        for caller in callers:
            caller.join()
    assert [caller.failed for caller in callers] == [None] * CALLERS


def until_each_has_called(callers: list[Caller], progress: threading.Condition) -> None:
    """Twice more from now on: the first of these may have been begun before."""
    wanted = [caller.calls + 2 for caller in callers]
    with progress:
        assert progress.wait_for(
            lambda: all(
                caller.failed or caller.calls >= count for caller, count in zip(callers, wanted, strict=True)
            ),
            timeout=60,
        )
