"""What shells unload leaves their memory, whatever the models are made of.

`GRISTMILL_TEST_CHANGES=500` changes each service as often, instead of thirty times.
"""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from gristmill.frames import Kind
from tests.integration.shell_client import ShellClient, snapshot

CHANGES = int(os.environ.get("GRISTMILL_TEST_CHANGES", "30"))
_MIB = 1 << 20
#: A shell may hold one model that it has not given back yet, and what fragments of others leave.
_ROOM = 60 * _MIB

_PLAIN = "model = bytearray(40 << 20)\ndef predict(x):\n    return len(model) + x\n"
_CYCLE = """
import functools, typing
class Model:
    def __init__(self):
        self.data = bytearray(40 << 20)
        self.itself = self
    @functools.lru_cache
    def predict(self, x):
        return len(self.data) + x
model = Model()
Models = typing.List[Model]
predict = model.predict
"""
_ARRAY = "import numpy\nmodel = numpy.ones(5 << 20)\ndef predict(x):\n    return model[0] + x\n"
_OWN_MODULE = "from heavy import predict\n"
_FOREST = "def predict(x):\n    return forest.predict([[x] * 8])[0]\n"


def _forest() -> bytes:
    """A pickled random forest of about 30 MB."""
    ensemble = pytest.importorskip("sklearn.ensemble")
    import numpy as np

    x = np.random.default_rng(1).normal(size=(8000, 8))
    model = ensemble.RandomForestRegressor(22, random_state=1).fit(x, x.sum(axis=1))
    return snapshot({".dill": pickle.dumps({"forest": model})})


def _changed(
    shell: ShellClient, pid: int, spec: dict[str, Any], content: bytes | None, changes: int = CHANGES
) -> list[int]:
    """Bytes that the process holds after each change of a service, with the model loaded and called."""
    held = []
    for handle in range(1, changes + 1):
        assert shell.load(handle, content, outputs={"y": "numeric"}, **spec).body == b""
        shell.score(handle)
        held.append(_resident(pid))
        shell.send(Kind.UNLOAD, b"", handle=handle)
    return held


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _assert_flat(held: list[int]) -> None:
    shown = [size // _MIB for size in held[:: max(1, len(held) // 20)]]
    print("MiB after changes:", shown, "most:", max(held) // _MIB, "last:", held[-1] // _MIB)
    assert max(held[2:]) <= held[1] + _ROOM, shown


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", ["plain", "cycle", "array", "own module", "forest"])
def test_a_python_service_that_is_changed_often_takes_the_memory_of_one(tmp_path: Path, kind: str) -> None:
    init = {"plain": _PLAIN, "cycle": _CYCLE, "array": _ARRAY, "own module": _OWN_MODULE, "forest": _FOREST}
    content = {"own module": lambda: snapshot({"heavy.py": _PLAIN.encode()}), "forest": _forest}.get(kind)
    preload = ["sklearn.ensemble"] if kind == "forest" else []
    with ShellClient.session(tmp_path, preload=preload) as shell:
        spec = {"initCode": init[kind], "code": "y = predict(1)"}
        changes = CHANGES // 3 if kind == "forest" else CHANGES  # it takes a second to unpickle
        _assert_flat(_changed(shell, shell.process.pid, spec, content() if content else None, changes))


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", ["matrix", "closure"])
def test_an_r_service_that_is_changed_often_takes_the_memory_of_one(tmp_path: Path, kind: str) -> None:
    matrix = "model <- matrix(1.5, 1024, 5120)"
    init = {
        "matrix": f"{matrix}; predict_it <- function(x) model[1, 1] + x",
        "closure": f"predict_it <- local({{ {matrix}; function(x) model[1, 1] + x }})",
    }[kind]
    with ShellClient.session(tmp_path, runtime="R") as shell:
        spec = {"initCode": init, "code": "y <- predict_it(1)"}
        _assert_flat(_changed(shell, shell.about["child_pid"], spec, None))


def test_what_is_unloaded_while_calls_wait_is_given_back_too(tmp_path: Path) -> None:
    """Many changes of large services in a row, without a pause in which the shell could tidy up."""
    body = b'{"name":"s","version":"1","code":"y = predict(1)","inputs":[],"outputs":[],"initCode":%s}'
    with ShellClient.session(tmp_path) as shell:
        frames = b""
        for handle in range(1, 13):
            load = body % json.dumps(_CYCLE).encode()
            frames += shell.pack(Kind.LOAD, load, handle=handle) + shell.pack(Kind.CALL, b"{}", handle=handle)
            frames += shell.pack(Kind.UNLOAD, b"", handle=handle)
        shell.socket.sendall(frames)
        most = 0
        for _ in range(24):
            shell.receive()
            most = max(most, _resident(shell.process.pid))
        assert most < 300 * _MIB
