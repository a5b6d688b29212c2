"""A launch that fails leaves nothing behind; one that succeeds leaves nothing when its shell has ended."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from gristmill.errors import ShellDied
from gristmill.launch import cleaning, local
from gristmill.launch.isolation import Isolation, UserIds
from gristmill.launch.local import LocalLauncher
from gristmill.launch.process import LocalShellProcess
from gristmill.launch.removal import OutOfTime, remove_tree
from gristmill.launching import Limits
from gristmill.services import Runtime

GROW = "x = bytearray(60 << 20); import time; time.sleep(50)"
ROOT = os.geteuid() == 0


@pytest.fixture
def launcher(tmp_path: Path) -> Iterator[LocalLauncher]:
    """Its shells are users of their own where root runs the tests."""
    isolation = Isolation(bubblewrap=None, users=ROOT)
    made = LocalLauncher(data=tmp_path, limits=Limits(), isolation=isolation)
    yield made
    assert made._cleaner.wait(10)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def taken(launcher: LocalLauncher) -> int:
    return len(launcher._users._taken) if launcher._users else 0


def left(launcher: LocalLauncher) -> list[str]:
    """What lies in the scratch directory and in the trash."""
    return [*os.listdir(launcher._scratch), *os.listdir(launcher._data / "trash")]


def broken(*words: Any, **named: Any) -> NoReturn:
    raise OSError(28, "No space left on device")


#: Each step of a launch, by what of it can fail.
STEPS = [
    "tempfile.mkdtemp", "pathlib.Path.mkdir", "os.chown", "tempfile.mkstemp", "os.fchown", "fcntl.fcntl",
    "socket.socketpair", "os.pipe", "socket.socket.setsockopt", "subprocess.Popen", "os.pidfd_open",
    "socket.socket.setblocking", "os.set_blocking",
]  # fmt: skip


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("which", [1, 2])
def test_whichever_step_fails_nothing_is_left(
    launcher: LocalLauncher, monkeypatch: pytest.MonkeyPatch, step: str, which: int
) -> None:
    """Neither when a step fails the first time that it comes in a launch nor the second time."""
    place, _, name = step.rpartition(".")
    module, _, owner = place.partition(".")
    target: Any = __import__(module)
    for part in owner.split(".") if owner else []:
        target = getattr(target, part)
    original, calls = getattr(target, name), []

    def fail(*words: Any, **named: Any) -> Any:
        calls.append(words)
        return broken() if len(calls) == which else original(*words, **named)

    before = descriptors()
    with monkeypatch.context() as patch:
        patch.setattr(target, name, fail)
        try:
            process = launcher.launch(Runtime.PYTHON)
        except OSError as error:
            seen = error.errno
        else:
            seen = 28
            assert len(calls) < which, f"the failure of {step} went unnoticed"
            process.close()
    assert seen == 28
    assert launcher._cleaner.wait(10)
    assert descriptors() == before
    assert taken(launcher) == 0
    assert left(launcher) == []


def test_with_however_few_descriptors_a_launch_fails_cleanly_and_as_often_as_one_likes(
    launcher: LocalLauncher,
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    failures: list[int | None] = []
    try:
        for room in range(40):
            resource.setrlimit(resource.RLIMIT_NOFILE, (free + room, hard))
            try:
                process = launcher.launch(Runtime.PYTHON)
            except OSError as error:
                failures.append(error.errno)
                assert taken(launcher) == 0
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
                assert os.dup(0) == free
                os.close(free)
            else:
                process.close()
                break
        resource.setrlimit(resource.RLIMIT_NOFILE, (free + 1, hard))
        for _ in range(1100):
            with pytest.raises(OSError, match="Too many open files"):
                launcher.launch(Runtime.PYTHON)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(failures) > 5
    assert set(failures) == {24}


def test_a_launch_does_not_fork_the_server(launcher: LocalLauncher, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python copies a large server's page tables when it is to change the user itself."""
    asked: list[dict[str, Any]] = []
    original = subprocess.Popen

    def popen(*words: Any, **named: Any) -> Any:
        asked.append(named)
        return original(*words, **named)

    monkeypatch.setattr(subprocess, "Popen", popen)
    launcher.launch(Runtime.PYTHON).close()
    assert asked[0]["user"] is None
    assert asked[0]["group"] is None
    assert asked[0]["extra_groups"] is None
    assert "preexec_fn" not in asked[0]


@pytest.mark.skipif(not ROOT, reason="other users need root")
@pytest.mark.parametrize("setpriv", [True, False])
def test_a_shell_has_its_own_user_and_no_groups_with_setpriv_or_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setpriv: bool
) -> None:
    if not setpriv:
        monkeypatch.setattr(local, "_setpriv", lambda: None)
    shell = "/bin/sleep"
    launcher = LocalLauncher(
        data=tmp_path, limits=Limits(), isolation=Isolation(bubblewrap=None, users=True), python=shell
    )
    original = subprocess.Popen

    def sleeping(command: list[str], **named: Any) -> Any:
        return original([*command[: command.index(shell)], shell, "60"], **named)

    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "Popen", sleeping)
        process = launcher.launch(Runtime.PYTHON)
    try:
        status = Path(f"/proc/{process.pid}/status")
        deadline = time.monotonic() + 10
        while "sleep" not in status.read_text().split("\n")[0]:
            assert time.monotonic() < deadline
        fields = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
        uid = next(iter(launcher._users._taken))  # type: ignore[union-attr]
        assert fields["Uid"] == fields["Gid"] == "\t".join([str(uid)] * 4)
        assert fields["Groups"].strip() == ""
        assert int(fields["CapEff"], 16) == 0
    finally:
        process.close()
        assert launcher._cleaner.wait(10)


def test_user_ids_are_given_out_in_turn_and_the_last_one_too_many_is_told() -> None:
    ids = UserIds(1000)
    first = ids.take()
    ids.give_back(first)
    assert ids.take() != first, "what a shell left outside its folder is the next one's"
    for _ in range(1023):
        ids.take()
    with pytest.raises(ShellDied, match="all 1024 user ids"):
        ids.take()
    ids.give_back(first)
    assert ids.take() == first


def ended(launcher: LocalLauncher) -> LocalShellProcess:
    """A shell that has ended and is not yet closed."""
    process = launcher.launch(Runtime.PYTHON)
    process.kill()
    process._process.wait()
    return process


def test_a_user_id_is_free_when_the_files_are_gone_and_not_before(
    launcher: LocalLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []

    def remove(folder: Path, *, seconds: float) -> None:
        order.append(f"removing, {taken(launcher)} taken")
        assert folder.parent.name == "trash"
        remove_tree(folder, seconds=seconds)
        order.append("removed")

    monkeypatch.setattr(cleaning, "remove_tree", remove)
    process = ended(launcher)
    (scratch,) = launcher._scratch.iterdir()
    process.close()
    assert not scratch.exists(), "its name is free at once"
    assert launcher._cleaner.wait(10)
    assert order == [f"removing, {int(ROOT)} taken", "removed"]
    assert taken(launcher) == 0
    assert left(launcher) == []


def test_a_shell_that_is_closed_can_be_killed_without_harm(
    launcher: LocalLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its user id may be another shell's by then."""
    process = ended(launcher)
    process.close()
    assert launcher._cleaner.wait(10)
    monkeypatch.setattr(launcher._cleaner, "end", lambda uid: pytest.fail("another shell was ended"))
    process._end_user = launcher._cleaner.end
    process.kill()
    process.close()


@pytest.mark.skipif(not ROOT, reason="other users need root")
def test_a_user_id_whose_processes_do_not_end_is_not_given_back(
    launcher: LocalLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive = True
    monkeypatch.setattr(cleaning, "end_user", lambda uid, seconds=5.0: not alive)
    monkeypatch.setattr(cleaning, "_RETRY_SECONDS", 0.0)
    process = ended(launcher)
    process.close()
    assert launcher._cleaner.wait(10)
    assert taken(launcher) == 1
    alive = False
    launcher._cleaner.end(64_400)  # whoever is next has the first tried again
    assert launcher._cleaner.wait(10)
    assert taken(launcher) == 0
    assert left(launcher) == []


def test_a_removal_without_end_keeps_no_other_from_its_own(
    launcher: LocalLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a process that was not ended makes files as quickly as they are removed."""
    removed: list[str] = []

    def remove(folder: Path, *, seconds: float) -> None:
        if (folder / "endless").exists() and len(removed) < 2:
            removed.append("a turn")
            raise OutOfTime
        remove_tree(folder, seconds=seconds)
        removed.append("another")

    monkeypatch.setattr(cleaning, "remove_tree", remove)
    for name in ("first", "second"):
        (launcher._scratch / name).mkdir()
    (launcher._scratch / "first" / "endless").touch()
    cleared: list[str] = []
    for name in ("first", "second"):
        launcher._cleaner.clear(launcher._scratch / name, None, lambda name=name: cleared.append(name))  # type: ignore[misc]
    assert launcher._cleaner.wait(10)
    assert cleared == ["second", "first"]


@pytest.mark.parametrize("own_session", [True, False])
def test_what_a_shell_without_a_user_of_its_own_started_ends_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_session: bool
) -> None:
    launcher = LocalLauncher(
        data=tmp_path, limits=Limits(), isolation=Isolation(bubblewrap=None, users=False)
    )
    start = f"subprocess.Popen(['/bin/sleep', '50'], start_new_session={own_session}).pid"
    code = f"import subprocess, sys, time; print({start}, flush=True); time.sleep(50)"
    original = subprocess.Popen

    def popen(command: list[str], **named: Any) -> Any:
        return original([sys.executable, "-c", code], **named)

    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "Popen", popen)
        process = launcher.launch(Runtime.PYTHON)
    until(lambda: os.fstat(process.console).st_size > 0)
    child = int(os.pread(process.console, 100, 0))
    process.close()
    until(lambda: not Path(f"/proc/{child}").exists() or " Z " in Path(f"/proc/{child}/stat").read_text())
    assert launcher._cleaner.wait(10)


def test_what_an_earlier_server_left_is_removed_beside_the_start(tmp_path: Path) -> None:
    for name in ("scratch/shell-old/deep", "trash/0123/deep"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "file").write_text("x")
    (tmp_path / "scratch" / "console-old").write_text("x")
    launcher = LocalLauncher(
        data=tmp_path, limits=Limits(), isolation=Isolation(bubblewrap=None, users=False)
    )
    assert os.listdir(launcher._scratch) == [], "a new shell finds it where its own folder is to be"
    assert (tmp_path / "trash").stat().st_mode & 0o777 == 0o700
    assert launcher._cleaner.wait(10)
    assert left(launcher) == []


async def test_shutdown_waits_for_removal_a_while_and_no_longer(
    launcher: LocalLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = launcher._scratch / "large"
    folder.mkdir()
    hold = tempfile.mkdtemp()
    go = Path(hold) / "go"

    def remove(folder: Path, *, seconds: float) -> None:
        while not go.exists():
            time.sleep(0.001)

    monkeypatch.setattr(cleaning, "remove_tree", remove)
    launcher._clear(folder, None)
    begun = time.monotonic()
    await launcher.close(0.1)
    assert time.monotonic() - begun < 5
    go.touch()
    await launcher.close(10)
    shutil.rmtree(hold)


def test_memory_counts_the_children_of_all_threads_and_who_left_the_tree(
    launcher: LocalLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = f"""
import subprocess, sys, threading, time
def go():
    subprocess.Popen([{sys.executable!r}, "-c", {GROW!r}]).wait()
threading.Thread(target=go, daemon=True).start()
time.sleep(50)
"""
    original = subprocess.Popen

    def popen(command: list[str], **named: Any) -> Any:
        named["cwd"] = "/"
        return original([sys.executable, "-c", child], **named)

    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "Popen", popen)
        process = launcher.launch(Runtime.PYTHON)
    try:
        until(lambda: process.memory() > 60 << 20)
        until(lambda: process.memory(exact=True) > 60 << 20)
    finally:
        process.close()


@pytest.mark.skipif(not ROOT, reason="other users need root")
def test_memory_counts_a_daemon_of_the_shells_own_user() -> None:
    from gristmill.launch.gauge import Gauge

    user = 64_601
    grow = f"import os, time; os.setuid({user}); {GROW}"
    daemon, shell = subprocess.Popen([sys.executable, "-c", grow]), subprocess.Popen(["/bin/sleep", "50"])
    try:
        with_user, without = Gauge(shell.pid, user), Gauge(shell.pid, None)
        until(lambda: with_user.read(exact=False) > 60 << 20)
        until(lambda: without.read(exact=False) > 0)
        assert without.read(exact=False) < 30 << 20
    finally:
        for process in (daemon, shell):
            process.kill()
            process.wait()


def test_a_look_that_takes_too_long_is_finished_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    from gristmill.launch import gauge

    monkeypatch.setattr(gauge, "_LOOK_SECONDS", -1.0)
    grow = f"import subprocess, sys; subprocess.run([{sys.executable!r}, '-c', {GROW!r}])"
    shell = subprocess.Popen([sys.executable, "-c", grow], start_new_session=True)
    try:
        measured = gauge.Gauge(shell.pid, None)
        assert measured.read(exact=False) < 60 << 20, "the child was looked at"
        until(lambda: measured.read(exact=False) > 60 << 20)
    finally:
        os.killpg(shell.pid, 9)
        shell.wait()


def test_asking_for_memory_keeps_the_loop_for_no_time_however_many_processes_there_are() -> None:
    from gristmill.launch.gauge import Gauge

    many = [
        sys.executable,
        "-c",
        "import os, time\nfor _ in range(60): os.fork() or time.sleep(50)\ntime.sleep(50)",
    ]
    shell = subprocess.Popen(many, start_new_session=True)
    try:
        gauge = Gauge(shell.pid, 64_602)
        until(lambda: gauge.read(exact=False) > 60 * (1 << 20))
        worst = 0.0
        for _ in range(50):
            begun = time.perf_counter()
            gauge.read(exact=True)
            worst = max(worst, time.perf_counter() - begun)
            time.sleep(0.01)
        assert worst < 0.005
    finally:
        os.killpg(shell.pid, 9)
        shell.wait()


def until(condition: Any, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.01)
