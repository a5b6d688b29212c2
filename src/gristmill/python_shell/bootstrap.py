"""First code of a shell process: put descriptors in their places and take on the limits, then be a shell.

Runs before anything of a user's; limits that are lowered here cannot be raised again.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
from typing import Dict

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38


def _limit(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(kind, (value, value))


def _take_on(limits: Dict[str, int]) -> None:
    for name, value in limits.items():
        _limit(getattr(resource, "RLIMIT_" + name), value)


def _place(control: int, descriptors: int) -> None:
    """Move both sockets to 3 and 4, by way of numbers that cannot be either."""
    high_control = os.dup(control)
    spare = [high_control]
    while high_control <= 4:
        high_control = os.dup(control)
        spare.append(high_control)
    high_descriptors = os.dup(descriptors)
    while high_descriptors <= 4:
        spare.append(high_descriptors)
        high_descriptors = os.dup(descriptors)
    os.dup2(high_control, 3, inheritable=False)
    os.dup2(high_descriptors, 4, inheritable=False)
    for number in {control, descriptors, high_descriptors, *spare} - {0, 1, 2, 3, 4}:
        os.close(number)


def main() -> None:
    """Entry point; `argv[1]` is JSON.

    It holds control, descriptors, limits, whether to die with the parent, and what Landlock leaves open.
    """
    start = json.loads(sys.argv[1])
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if start["die_with_parent"]:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    _place(start["control"], start["descriptors"])
    _take_on(start["limits"])
    os.umask(0o077)
    if start.get("landlock"):
        from gristmill.python_shell.landlock import restrict

        restrict([*start["landlock"]["reads"], sys.prefix, sys.base_prefix], start["landlock"]["writes"])
    sys.argv[1:] = []
    from gristmill.python_shell.__main__ import main as serve

    serve()


if __name__ == "__main__":
    main()
