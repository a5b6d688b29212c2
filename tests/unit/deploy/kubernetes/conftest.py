"""A cluster that is a fake API server, and time that passes when it is slept."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gristmill.deploy.kubernetes import Cluster
from gristmill.deploy.kubernetes.waiting import Clock
from tests.fake_kubernetes import FakeKubernetes, Object, running


@pytest.fixture
def both() -> Iterator[tuple[FakeKubernetes, Object]]:
    with running() as found:
        yield found


@pytest.fixture
def fake(both: tuple[FakeKubernetes, Object]) -> FakeKubernetes:
    return both[0]


@pytest.fixture
def kubeconfig(both: tuple[FakeKubernetes, Object]) -> Object:
    return both[1]


@pytest.fixture
def cluster(kubeconfig: Object) -> Iterator[Cluster]:
    with Cluster(kubeconfig) as made:
        yield made


@pytest.fixture
def clock() -> Clock:
    """Sleeping takes no time, and the time is later all the same."""
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    return Clock(now=lambda: now[0], sleep=sleep)
