"""The limit of open files is raised as far as it may be, and connections never take all of it."""

from __future__ import annotations

import resource

import pytest
import structlog

from gristmill.app.descriptors import most_connections, raise_limit


@pytest.mark.parametrize(
    ("descriptors", "asked", "most"),
    [
        (1024, 0, 768),
        (300, 0, 100),
        (64, 0, 16),
        (1_048_576, 0, 10_000),
        (1_048_576, 50_000, 50_000),
        (1024, 100, 100),
        (1024, 5000, 768),
    ],
)
def test_connections_leave_descriptors_for_all_else(descriptors: int, asked: int, most: int) -> None:
    with structlog.testing.capture_logs() as events:
        assert most_connections(descriptors, asked) == most
    assert bool(events) == (asked > most)


def test_the_soft_limit_is_raised_to_the_hard_one(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = [(1024, 4096)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, pair: limits.append(pair))
    assert raise_limit() == 4096
    assert raise_limit() == 4096
    assert limits == [(1024, 4096), (4096, 4096)]
    limits.append((1024, resource.RLIM_INFINITY))
    assert raise_limit() == 1_048_576
    limits.append((resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert raise_limit() == 1_048_576


def test_a_limit_that_may_not_be_raised_is_told_and_lived_with(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("not allowed")

    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 4096))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    with structlog.testing.capture_logs() as events:
        assert raise_limit() == 256
    assert [event["event"] for event in events] == ["descriptors_not_raised"]
