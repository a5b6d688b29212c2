"""The program with the node: `python -m benchmarks.harness.faults.node JSON`.

It tells in lines of JSON on standard output that it is ready, and answers the commands on its standard input:
`on` and `off` for the faults, `look` for what it holds, `clear` for the stalls, `end`.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import signal
import sys
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import structlog

from gristmill.app.node import Node, Ports
from gristmill.app.server import run
from gristmill.app.settings import Settings
from gristmill.batches import BatchSettings
from gristmill.blobs import DirectoryBlobs
from gristmill.launch.local import LocalLauncher
from gristmill.launching import Limits
from gristmill.pool import PoolSettings

from .stalls import Stalls
from .surroundings import Chaos, FaultyBlobs, FaultyLauncher, break_database


class Control:
    """The commands, once the node answers requests."""

    def __init__(self, chaos: Chaos, options: dict[str, Any]) -> None:
        self._chaos = chaos
        self._options = options
        self._stalls: Stalls | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.launcher: FaultyLauncher | None = None

    def ports(self) -> Ports:
        """Wrappers for the node's surroundings."""

        def blobs(given: DirectoryBlobs) -> DirectoryBlobs:
            return cast(DirectoryBlobs, FaultyBlobs(given, self._chaos))

        def launcher(given: LocalLauncher) -> LocalLauncher:
            self.launcher = FaultyLauncher(given, self._chaos, with_r=self._options["r"])
            return cast(LocalLauncher, self.launcher)

        return Ports(blobs=blobs, launcher=launcher)

    def ready(self, node: Node, url: str) -> None:
        """Called in the node's loop."""
        assert self.launcher is not None
        self._stalls = Stalls()
        self._tasks = [
            asyncio.create_task(self._listen(), name="faults: commands"),
            asyncio.create_task(self.launcher.kill_some(), name="faults: kills"),
        ]
        _say({"ready": url, "languages": node.languages()})

    async def _listen(self) -> None:
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := (await reader.readline()).strip().decode():
            _say(await self._carry_out(line))
            if line == "end":
                break
        os.kill(os.getpid(), signal.SIGTERM)

    async def _carry_out(self, command: str) -> dict[str, Any]:
        assert self._stalls is not None
        if command in {"on", "off"}:
            self._chaos.on = command == "on"
        elif command == "clear":
            self._stalls.clear()
        elif command == "look":
            return self._look(self._stalls)
        elif command == "end":
            self._stalls.close()
            self._tasks[1].cancel()
        return {"done": command}

    def _look(self, stalls: Stalls) -> dict[str, Any]:
        assert self.launcher is not None
        gc.collect()
        tasks = Counter(_told(task) for task in asyncio.all_tasks())
        found = {
            "tasks": dict(tasks),
            "threads": sorted(thread.name for thread in threading.enumerate()),
            "descriptors": len(os.listdir("/proc/self/fd")),
            "shells": {pid: str(runtime) for pid, runtime in self.launcher.shells().items()},
            "stalls": stalls.dump(),
            "faults": dict(self._chaos.done),
        }
        stalls.excuse()
        return found


def _told(task: asyncio.Task[Any]) -> str:
    """Where the task's function stands; tasks of one function count together."""
    coroutine = task.get_coro()
    return getattr(coroutine, "__qualname__", None) or repr(coroutine)


def _say(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def _settings(options: dict[str, Any]) -> Settings:
    return Settings(
        port=0,
        data=Path(options["data"]),
        admin_password=options["password"],
        database=options["database"],
        pool=PoolSettings(initial=2, maximum=3, queue_seconds=20.0),
        shells=replace(Limits(), execution_seconds=10.0),
        batches=BatchSettings(),
        drain_seconds=5.0,
        log_json=True,
    )


def main() -> None:
    options = json.loads(sys.argv[1])
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    chaos = Chaos(options["seed"])
    break_database(chaos)
    control = Control(chaos, options)
    run(_settings(options), control.ready, lambda _: None, ports=control.ports())


if __name__ == "__main__":
    main()
