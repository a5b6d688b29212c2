"""A real server whose event loop is watched: how long was it held at a time, at most.

Run as a program, with a folder for its data. It prints its address, and then obeys the lines that it reads:
`worst` prints the longest hold since the last one, in seconds; `ballast` has the server hold so many MiB,
`hold` holds the loop for so many seconds; and `fail` has `GET /snapshots` raise what nobody expects, with
large locals.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import NoReturn

from gristmill.app import logs
from gristmill.app.node import Node
from gristmill.app.server import run
from gristmill.app.settings import Settings
from gristmill.batches import BatchSettings
from gristmill.identity import Principal
from gristmill.pool import PoolSettings
from gristmill.sessions import Snapshots
from gristmill.web.context import Limits

PASSWORD = "only for tests: Xq7"
_BEAT_SECONDS = 0.005
#: Made before anything is measured.
_LARGE = bytearray(100 << 20)
_MIB = 1 << 20


def _waited() -> float:
    """Seconds that this thread could run and was not let, as others had the processors."""
    with open(f"/proc/self/task/{threading.get_native_id()}/schedstat") as file:
        return int(file.read().split()[1]) / 1e9


class Beat:
    """Notes how late the loop comes to what is due."""

    def __init__(self) -> None:
        self.worst = 0.0
        self.ballast = bytearray()
        self._begun = ""  #: of a line that has not come whole
        self.task = asyncio.get_running_loop().create_task(self._beat())
        asyncio.get_running_loop().add_reader(sys.stdin, self._hear)

    async def _beat(self) -> None:
        while True:
            begun, waited = time.perf_counter(), _waited()
            await asyncio.sleep(_BEAT_SECONDS)
            late = time.perf_counter() - begun - _BEAT_SECONDS
            self.worst = max(self.worst, late - (_waited() - waited))

    def _hear(self) -> None:
        """Obey all lines that have come: the reader is not called again for what was read with another."""
        said = os.read(sys.stdin.fileno(), 65536)
        if not said:  # the test is no more
            asyncio.get_running_loop().remove_reader(sys.stdin)
            signal.raise_signal(signal.SIGTERM)
        *lines, self._begun = (self._begun + said.decode()).split("\n")
        for line in lines:
            self._obey(line)

    def _obey(self, line: str) -> None:
        word, _, rest = line.strip().partition(" ")
        if word == "worst":
            print(self.worst, flush=True)
        elif word == "ballast":
            self.ballast = bytearray(b"x") * (int(rest) * _MIB)
            print("there", flush=True)
        elif word == "fail":
            Snapshots.of = _fail  # type: ignore[assignment,method-assign]
        elif word == "hold":
            time.sleep(float(rest))
            return
        self.worst = 0.0  # these words themselves may take long


async def _fail(snapshots: Snapshots, owner: Principal) -> NoReturn:
    content = _LARGE  # slow to show
    raise ValueError(f"nobody expects this, with {len(content):,} bytes in a local")


def main() -> None:
    """Serve until SIGTERM."""
    beats = []

    def announce(node: Node, url: str) -> None:
        beats.append(Beat())
        print(f"serving at {url}", flush=True)

    logs.set_up(as_json=False)
    settings = Settings(
        port=0,
        data=Path(sys.argv[1]),
        admin_password=PASSWORD,
        pool=PoolSettings(initial=1, maximum=2),
        batches=BatchSettings(most_parallel=8, most_bytes=4096 * _MIB, item_bytes=80 * _MIB),
        web=Limits(body_bytes=80 * _MIB),
    )
    run(settings, announce)


if __name__ == "__main__":
    main()
