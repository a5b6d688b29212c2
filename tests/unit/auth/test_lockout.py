"""Growing delays."""

from hypothesis import given
from hypothesis import strategies as st

from gristmill.auth.lockout import Lockout
from gristmill.errors import TooManyAttempts

from .conftest import Clock


def waits(lockout: Lockout, name: str = "ann") -> float:
    try:
        lockout.check(name)
    except TooManyAttempts as error:
        return error.retry_after or float("nan")
    return 0


def test_delays_double_up_to_a_minute() -> None:
    clock = Clock()
    lockout = Lockout(clock=clock)
    seen = []
    for _ in range(14):
        lockout.failed("ann")
        seen.append(waits(lockout))
        clock.now += seen[-1]
        assert waits(lockout) == 0
    assert seen == [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert waits(lockout, "bob") == 0


def test_a_name_without_failures_for_a_quarter_of_an_hour_starts_anew() -> None:
    clock = Clock()
    lockout = Lockout(clock=clock)
    for _ in range(10):
        lockout.failed("ann")
    clock.now += 901
    lockout.failed("ann")
    assert waits(lockout) == 0


def test_ten_thousand_failures_do_not_overflow() -> None:
    lockout = Lockout(clock=Clock())
    for _ in range(10_000):
        lockout.failed("ann")
    assert waits(lockout) == 60


def test_beyond_its_size_the_oldest_name_is_forgotten() -> None:
    lockout = Lockout(free=0, size=2, clock=Clock())
    for name in ("a", "b", "a", "c"):
        lockout.failed(name)
    assert [waits(lockout, name) > 0 for name in "abc"] == [True, False, True]


@given(st.lists(st.tuples(st.sampled_from(["fail", "succeed", "wait"]), st.floats(0, 100)), max_size=40))
def test_nobody_waits_longer_than_the_longest_delay(steps: list[tuple[str, float]]) -> None:
    clock = Clock()
    lockout = Lockout(clock=clock)
    for step, seconds in steps:
        if step == "fail":
            lockout.failed("ann")
        elif step == "succeed":
            lockout.succeeded("ann")
            assert waits(lockout) == 0
        else:
            clock.now += seconds
        assert waits(lockout) <= 60
    clock.now += 60
    assert waits(lockout) == 0


@given(st.text(max_size=20))
def test_any_text_is_a_name(name: str) -> None:
    lockout = Lockout(free=0, clock=Clock())
    lockout.failed(name)
    lockout.failed("\ud800" * 100_000)
    assert waits(lockout, name) > 0
