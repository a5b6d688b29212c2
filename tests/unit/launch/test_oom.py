"""The kernel's counters tell whether a process was ended for want of memory."""

from __future__ import annotations

from pathlib import Path

from gristmill.launch.oom import OomKills


def test_a_kill_is_told_once(tmp_path: Path) -> None:
    events = tmp_path / "memory.events"
    events.write_text("low 0\nhigh 0\nmax 3\noom 0\noom_kill 2\noom_group_kill 0\n")
    kills = OomKills((events,))
    assert not kills.are_new()
    events.write_text("low 0\nhigh 0\nmax 9\noom 1\noom_kill 3\noom_group_kill 0\n")
    assert kills.are_new()
    assert not kills.are_new()


def test_where_the_container_has_no_counter_the_machines_counts(tmp_path: Path) -> None:
    machine = tmp_path / "vmstat"
    machine.write_text("pgfault 7\noom_kill 0\n")
    kills = OomKills((tmp_path / "missing", machine))
    machine.write_text("pgfault 9\noom_kill 1\n")
    assert kills.are_new()


def test_without_any_counter_nothing_is_claimed(tmp_path: Path) -> None:
    assert not OomKills((tmp_path / "missing",)).are_new()


def test_the_counters_of_this_machine_can_be_read() -> None:
    assert not OomKills().are_new() or OomKills()._seen > 0
