"""How many processes a shell may have, and where that cannot be said."""

import os
import subprocess
import sys

import pytest

from gristmill.launch import local

SEEN = "from gristmill.launch import local; print(local._limit_of_processes(64, None), local._in_container())"


def test_a_shell_with_a_user_of_its_own_has_the_limit_to_itself() -> None:
    assert local._limit_of_processes(64, 70001) == {"NPROC": 64}


def test_a_shell_of_the_servers_user_may_have_so_many_beside_the_servers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(local, "_in_container", lambda: False)
    monkeypatch.setattr(local, "_processes_of_this_user", lambda: 100)
    assert local._limit_of_processes(64, None) == {"NPROC": 164}


def test_in_a_container_it_has_none_since_the_kernel_counts_all_containers_of_the_user() -> None:
    if os.geteuid() != 0:
        pytest.skip("a PID namespace needs root")
    inside = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", SEEN]
    done = subprocess.run(inside, check=True, capture_output=True, text=True, timeout=30)
    assert done.stdout == "{} True\n"
