"""Background work goes on whatever it raises; blocking work has its threads; the clock of tests jumps."""

from __future__ import annotations

import asyncio
import threading
import time
from itertools import pairwise

import pytest

from gristmill.background import Background
from gristmill.errors import Overloaded
from gristmill.off_loop import Work, busy, off_loop
from gristmill.testing_clock import run_jumping


@pytest.mark.parametrize(
    "error", [ValueError("x"), Overloaded("full"), KeyError(1), asyncio.CancelledError()]
)
def test_repeated_work_goes_on_after_an_error_of_any_class(error: BaseException) -> None:
    async def main() -> None:
        background, runs = Background(), []

        async def work() -> None:
            runs.append(asyncio.get_running_loop().time())
            if len(runs) < 4:
                raise error

        background.repeat("work", work, every=1.0)
        await asyncio.sleep(30)
        pauses = [later - earlier for earlier, later in pairwise(runs)]
        assert pauses[:3] == pytest.approx([2, 4, 8], abs=0.8)
        assert pauses[3:] == pytest.approx([1.0] * len(pauses[3:]), abs=0.1)
        assert background.describe()["work"]["statusCode"] == "pass"
        await background.close()

    run_jumping(main())


def test_work_that_fails_again_and_again_is_seen_as_failing_and_pauses_for_ten_seconds_at_most() -> None:
    async def main() -> None:
        background, runs = Background(), []

        async def work() -> None:
            runs.append(asyncio.get_running_loop().time())
            raise OSError("no disk")

        background.repeat("work", work, every=0.1)
        await asyncio.sleep(100)
        seen = background.describe()["work"]
        assert seen["statusCode"] == "fail"
        assert "no disk" in str(seen["details"])
        assert runs[-1] - runs[-2] == pytest.approx(10, abs=0.1)
        await background.close()
        count = len(runs)
        await asyncio.sleep(100)
        assert len(runs) == count

    run_jumping(main())


def test_a_run_that_does_not_end_is_seen_as_failing() -> None:
    async def main() -> None:
        background = Background()
        background.repeat("work", asyncio.Event().wait, every=1.0)
        await asyncio.sleep(70)
        seen = background.describe()["work"]
        assert seen["statusCode"] == "fail"
        assert seen["details"]["runningSeconds"] > 60  # type: ignore[index]
        await background.close()

    run_jumping(main())


def test_work_that_is_woken_runs_at_once() -> None:
    async def main() -> None:
        background, runs = Background(), []

        async def work() -> None:
            runs.append(1)

        repeated = background.repeat("work", work, every=1000.0)
        repeated.wake.set()
        await asyncio.sleep(0.1)
        assert len(runs) == 1
        await background.close()

    run_jumping(main())


def test_work_done_once_ends_by_itself_and_its_error_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    async def main() -> None:
        background = Background()

        async def work() -> None:
            raise ValueError("of the work")

        await background.once("once", work())
        await background.close()

    run_jumping(main())
    assert "of the work" in "".join(capsys.readouterr())


async def test_slow_writes_do_not_keep_a_read_waiting() -> None:
    gate = threading.Event()
    writes = [asyncio.create_task(off_loop(Work.WRITE, gate.wait, 10)) for _ in range(4 * Work.WRITE.value)]
    await asyncio.sleep(0.01)
    assert busy()["write"] == len(writes)
    assert await asyncio.wait_for(off_loop(Work.READ, lambda: "read"), 2) == "read"
    gate.set()
    await asyncio.gather(*writes)
    assert busy()["write"] == 0


async def test_what_the_function_raises_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        await off_loop(Work.COMPUTE, lambda: 1 // 0)
    assert busy()["compute"] == 0


def test_an_hour_of_waiting_takes_no_time_where_the_clock_jumps() -> None:
    async def main() -> float:
        begun = asyncio.get_running_loop().time()
        await asyncio.sleep(3600)
        return asyncio.get_running_loop().time() - begun

    begun = time.monotonic()
    assert run_jumping(main()) >= 3600
    assert time.monotonic() - begun < 5


def test_the_clock_does_not_jump_over_a_thread_at_work() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        timeout = loop.call_later(3600, lambda: None)
        await off_loop(Work.READ, time.sleep, 0.1)
        timeout.cancel()
        return loop.time() - begun

    assert run_jumping(main()) < 60
