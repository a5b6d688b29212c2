"""A session of remote execution, as a client sees it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from tests.e2e.protocol import accepted

__all__ = ["Remote"]


class Remote:
    """A live session; `run` and `fails` execute code, the rest is as the protocol has it."""

    def __init__(self, client: httpx.Client, runtime: str, **more: Any) -> None:
        answer = client.post("/sessions", json={"runtimeType": runtime, **more})
        self.id = str(accepted(answer, "session created", 201)["sessionId"])
        self.client = client
        self.runtime = runtime
        self.path = f"/sessions/{self.id}"

    def code(self, python: str, r: str) -> str:
        """Whichever is of this session's language."""
        return python if self.runtime == "Python" else r

    def execute(self, python: str, r: str, inputs: Any = None, outputs: Any = None) -> dict[str, Any]:
        """The answer to an execution."""
        body: dict[str, Any] = {"code": self.code(python, r)}
        if inputs is not None:
            body["inputParameters"] = [{"name": name, "value": value} for name, value in inputs.items()]
        if outputs is not None:
            body["outputParameters"] = outputs
        return dict(accepted(self.client.post(f"{self.path}/execute", json=body), "execution"))

    def run(self, python: str, r: str, inputs: Any = None, outputs: Any = None) -> dict[str, Any]:
        """Outputs by name, of an execution that must succeed."""
        result = self.execute(python, r, inputs, outputs)
        assert result["success"], result["errorMessage"]
        return {output["name"]: output["value"] for output in result["outputParameters"]}

    def fails(self, python: str, r: str, inputs: Any = None, outputs: Any = None) -> str:
        """The message of an execution that must fail."""
        result = self.execute(python, r, inputs, outputs)
        assert result["success"] is False
        return str(result["errorMessage"])

    @contextmanager
    def running(self, python: str, r: str) -> Iterator[list[dict[str, Any]]]:
        """While the code, which is to print `begun`, runs; afterwards the list holds its answer."""
        answers: list[dict[str, Any]] = []
        caller = threading.Thread(target=lambda: answers.append(self.execute(python, r)))
        caller.start()
        try:
            self.until_printed("begun")
            yield answers
        finally:
            caller.join()

    def console(self) -> str:
        """What the current or last execution printed."""
        answer = self.client.get(f"{self.path}/console-output")
        return str(accepted(answer, "console")["consoleOutput"])

    def until_printed(self, text: str) -> None:
        """Wait for a text on the console."""
        deadline = time.monotonic() + 30
        while text not in self.console():
            assert time.monotonic() < deadline, self.console()

    def cancel(self) -> None:
        accepted(self.client.post(f"{self.path}/cancel"), "text")

    def names(self) -> list[str]:
        """Of the objects in the workspace."""
        return list(accepted(self.client.get(f"{self.path}/workspace"), "names"))

    def put(self, name: str, content: bytes) -> httpx.Response:
        """Set an object from its serialized bytes."""
        kind = {"Content-Type": "application/octet-stream"}
        return self.client.post(f"{self.path}/workspace/{name}", content=content, headers=kind)

    def get(self, name: str) -> bytes:
        """Serialized bytes of an object."""
        answer = self.client.get(f"{self.path}/workspace/{name}")
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/octet-stream"
        return answer.content

    def files(self) -> list[str]:
        return list(accepted(self.client.get(f"{self.path}/files"), "names"))

    def upload(self, name: str, content: bytes) -> None:
        answer = self.client.post(f"{self.path}/files", files={"file": (name, content)})
        accepted(answer, "text", 201)

    def download(self, name: str) -> bytes:
        answer = self.client.get(f"{self.path}/files/{name}")
        assert answer.status_code == 200, answer.text
        return answer.content

    def history(self) -> list[str]:
        return list(accepted(self.client.get(f"{self.path}/history"), "names"))

    def snapshot(self, name: str = "") -> str:
        """The id of a new snapshot."""
        answer = self.client.post(f"{self.path}/snapshot", json={"name": name} if name else {})
        return str(accepted(answer, "snapshot created", 201)["snapshotId"])

    def close(self) -> None:
        self.client.delete(f"{self.path}/force")
