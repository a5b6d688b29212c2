"""Deployment scripts as real processes: what they see, what they say, and that they end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from gristmill.launch.scripts import ScriptFailed, run_script

pytestmark = pytest.mark.timeout(60)


class Scripts:
    """Runs Python texts as scripts, and notes what they say."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.scratch = folder / "bundle", folder / "scratch"
        self.folder.mkdir()
        self.scratch.mkdir()
        self.said: list[str] = []
        self.heard = asyncio.Event()

    def tell(self, line: str) -> None:
        self.said.append(line)
        self.heard.set()

    async def run(self, text: str, *, seconds: float = 30.0, variables: dict[str, str] | None = None) -> None:
        await self.command([sys.executable, "-c", text], seconds=seconds, variables=variables)

    async def command(
        self, command: Sequence[str], *, seconds: float = 30.0, variables: dict[str, str] | None = None
    ) -> None:
        await run_script(
            command,
            folder=self.folder,
            scratch=self.scratch,
            variables=variables or {},
            seconds=seconds,
            tell=self.tell,
        )


@pytest.fixture
def scripts(tmp_path: Path) -> Scripts:
    return Scripts(tmp_path)


def ended(pid: int) -> bool:
    """Whether a process is gone; what has ended and waits to be reaped is."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def wait_until_ended(pid: int) -> None:
    until = time.monotonic() + 10
    while not ended(pid):
        assert time.monotonic() < until, f"process {pid} still runs"
        time.sleep(0.01)


async def test_it_runs_in_its_folder_with_a_home_of_its_own_that_goes_with_it(scripts: Scripts) -> None:
    text = "import os, tempfile; print(os.getcwd()); print(os.environ['HOME']); print(tempfile.mkdtemp())"
    await scripts.run(text)
    folder, home, temporary = scripts.said
    assert folder == str(scripts.folder)
    assert Path(home).parent == scripts.scratch
    assert Path(temporary).parent == Path(home)
    assert list(scripts.scratch.iterdir()) == []


async def test_it_sees_no_secret_of_the_servers(scripts: Scripts, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GRISTMILL_ADMIN_PASSWORD", "GRISTMILL_DATABASE", "PGPASSWORD", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "xyzzy")
    monkeypatch.setenv("R_LIBS", "/some/library")
    text = "import os; [print(f'{k}={v}') for k, v in os.environ.items()]"
    await scripts.run(text, variables={"GRISTMILL_URL": "http://here", "LANG": "de_DE.UTF-8"})
    assert not any("xyzzy" in line for line in scripts.said)
    assert {"GRISTMILL_URL=http://here", "LANG=de_DE.UTF-8", "R_LIBS=/some/library"} <= set(scripts.said)


async def test_both_its_outputs_are_told_line_by_line_as_they_come(scripts: Scripts) -> None:
    await scripts.run("import sys; print('one'); print('two', file=sys.stderr); sys.stdout.write('end')")
    assert sorted(scripts.said) == ["end", "one", "two"]


async def test_endless_lines_and_no_text_are_cut_and_told(scripts: Scripts) -> None:
    await scripts.run("import sys; sys.stdout.buffer.write(b'\\xff' + b'x' * 1_000_000 + b'\\nlast\\n')")
    assert max(map(len, scripts.said)) <= 2000
    assert scripts.said[0].startswith("\N{REPLACEMENT CHARACTER}xxx")
    assert scripts.said[-1] == "last"


async def test_another_status_than_0_is_said_with_the_last_lines(scripts: Scripts) -> None:
    with pytest.raises(ScriptFailed) as caught:
        await scripts.run("for i in range(50): print('line', i)\nraise SystemExit(3)")
    assert caught.value.message.startswith("it ended with exit code 3; its last lines were:\n    line 30\n")
    assert caught.value.message.endswith("    line 49")
    with pytest.raises(ScriptFailed, match="it ended with exit code 1, and said nothing"):
        await scripts.run("raise SystemExit(1)")
    with pytest.raises(ScriptFailed, match="it ended with signal SIGKILL"):
        await scripts.run("import os; os.kill(os.getpid(), 9)")


async def test_a_program_that_is_not_there_is_said(scripts: Scripts) -> None:
    with pytest.raises(ScriptFailed, match=r"(?s)exit code 1.*/nowhere/R cannot be run: No such file"):
        await scripts.command(["/nowhere/R"])


async def test_one_that_takes_too_long_is_ended_with_what_it_started(scripts: Scripts) -> None:
    text = (
        "import subprocess, signal, sys\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen(['sleep', '1000'])\n"
        "print(child.pid, flush=True)\n"
        "child.wait()\n"
        "child.wait()\n"
        "while True: signal.pause()\n"
    )
    with pytest.raises(ScriptFailed, match="it did not end within 1 s"):
        await scripts.run(text, seconds=1)
    wait_until_ended(int(scripts.said[0]))


async def test_what_it_leaves_in_the_background_neither_holds_the_server_up_nor_stays(
    scripts: Scripts,
) -> None:
    begun = time.monotonic()
    await scripts.command(["/bin/sh", "-c", "sleep 1000 & echo $!"])
    assert time.monotonic() - begun < 10
    wait_until_ended(int(scripts.said[0]))


async def test_it_is_ended_when_the_server_is_told_to_stop(scripts: Scripts) -> None:
    task = asyncio.create_task(scripts.run("raise SystemExit(1)"))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    text = "import os, time; print(os.getpid(), flush=True); time.sleep(1000)"
    task = asyncio.create_task(scripts.run(text))
    await scripts.heard.wait()
    begun = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - begun < 1.5
    assert ended(int(scripts.said[0]))
    assert list(scripts.scratch.iterdir()) == []


def test_it_dies_with_a_server_that_is_killed(scripts: Scripts, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    script = (
        f"import os, time; open({str(pid_file)!r}, 'w').write(str(os.getpid())); "
        "print('on', flush=True); time.sleep(1000)"
    )
    server = (
        "import asyncio, sys\nfrom pathlib import Path\nfrom gristmill.launch.scripts import run_script\n"
        f"asyncio.run(run_script([sys.executable, '-c', {script!r}], folder=Path({str(tmp_path)!r}), "
        f"scratch=Path({str(scripts.scratch)!r}), variables={{}}, seconds=60, "
        "tell=lambda line: print(line, flush=True)))"
    )
    process = subprocess.Popen([sys.executable, "-c", server], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == "on\n"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    wait_until_ended(int(pid_file.read_text()))
