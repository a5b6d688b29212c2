"""Ends all processes of a user id, however they resist, without forking the server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import structlog

from gristmill.launch import proc

__all__ = ["end_user"]

log = structlog.get_logger()

#: Becomes the user and signals all of his processes in one system call, so that none can fork meanwhile.
#: Only once it has no right left to signal anybody else's: with it, -1 would be the whole machine.
_AS_USER = """\
import os, sys
user = int(sys.argv[1])
os.setgroups([])
os.setresgid(user, user, user)
os.setresuid(user, user, user)
with open("/proc/self/status") as status:
    rights = next(int(line.split()[1], 16) for line in status if line.startswith("CapEff:"))
if user > 0 and os.getresuid() == (user, user, user) and rights == 0:
    os.kill(-1, 9)
"""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.001, 0.05


def end_user(uid: int, *, seconds: float = 5.0) -> bool:
    """End every process of `uid`; False when some still run after so many seconds.

    Each is signalled by the server, whom they cannot signal back. Where that is not enough, as more are
    started all the time, a process of their own user signals all of them at once. For a thread: this waits.
    """
    deadline, pause, again = time.monotonic() + seconds, _FIRST_PAUSE, False
    while True:
        try:
            left = proc.of_user(uid)
        except OSError as error:  # no descriptor is free, for instance; that may change
            log.warning("processes_not_listed", uid=uid, error=str(error))
            left = [0]
        if not left:
            return True
        if time.monotonic() > deadline:
            return False
        for pid in left:
            _kill(pid, uid)
        if again:
            _kill_as(uid)
        time.sleep(pause)
        again, pause = True, min(2 * pause, _LONGEST_PAUSE)


def _kill(pid: int, uid: int) -> None:
    """Signal a process, unless its number has become another user's meanwhile."""
    try:
        held = os.pidfd_open(pid)
    except (OSError, ValueError):
        return  # it has ended, or there is no descriptor now
    try:
        if os.stat(f"/proc/{pid}").st_uid == uid:
            signal.pidfd_send_signal(held, signal.SIGKILL)
    except (FileNotFoundError, ProcessLookupError):
        return  # it has ended
    finally:
        os.close(held)


def _kill_as(uid: int) -> None:
    if os.geteuid() != 0 or uid == 0:
        return
    command = [sys.executable, "-I", "-S", "-c", _AS_USER, str(uid)]
    try:
        # Without `user=`, which has Python fork the whole server instead of using vfork.
        subprocess.run(command, check=False, timeout=5, capture_output=True)  # noqa: S603 - our words only
    except (OSError, subprocess.TimeoutExpired) as error:
        log.warning("user_not_ended_at_once", uid=uid, error=str(error))
