"""Start-up publishing, on fakes: what is run, in which order, and what is recorded."""

from pathlib import Path

import pytest

from gristmill.bundles import Step, find_bundles
from gristmill.errors import InvalidInput
from gristmill.start_up import StartUp
from gristmill.testing import MemoryBundles


class Runner:
    """Notes what it is to run, and fails at one name."""

    def __init__(self, folder: Path, store: MemoryBundles) -> None:
        self.ran: list[str] = []
        self.told: list[tuple[int, int, str]] = []
        self.fails_at = ""
        self._folder, self._store = folder, store

    async def run(self, step: Step) -> None:
        if step.path == self.fails_at:
            raise InvalidInput("broken")
        self.ran.append(step.path)

    async def start(self) -> None:
        start = StartUp(
            find_bundles(self._folder), self._store, self.run, lambda *told: self.told.append(told)
        )
        await start.publish(await start.pending())


@pytest.fixture
def store() -> MemoryBundles:
    return MemoryBundles()


@pytest.fixture
def runner(tmp_path: Path, store: MemoryBundles) -> Runner:
    for name in ("a/1.R", "a/2.py", "b.gm"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    return Runner(tmp_path, store)


async def test_all_steps_are_run_in_order_and_told_of(runner: Runner, store: MemoryBundles) -> None:
    await runner.start()
    assert runner.ran == ["1.R", "2.py", "b.gm"]
    assert runner.told == [(1, 3, "a/1.R"), (2, 3, "a/2.py"), (3, 3, "b.gm")]
    assert sorted(store.names.values()) == ["a", "b.gm"]


async def test_what_was_published_is_not_run_again(runner: Runner) -> None:
    await runner.start()
    runner.ran.clear()
    await runner.start()
    assert runner.ran == []


async def test_of_bundles_only_the_changed_one_is_run(runner: Runner, tmp_path: Path) -> None:
    await runner.start()
    runner.ran.clear()
    (tmp_path / "a/2.py").write_text("changed")
    await runner.start()
    assert runner.ran == ["1.R", "2.py"]


async def test_equal_bundles_are_run_once(runner: Runner, tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    for name in ("1.R", "2.py"):
        (tmp_path / "c" / name).write_text(f"a/{name}")
    await runner.start()
    assert sorted(runner.ran) == ["1.R", "2.py", "b.gm"]


async def test_a_bundle_that_fails_is_not_recorded_and_those_before_it_are(
    runner: Runner, store: MemoryBundles
) -> None:
    runner.fails_at = "b.gm"
    with pytest.raises(InvalidInput):
        await runner.start()
    assert list(store.names.values()) == ["a"]
    runner.ran.clear()
    runner.fails_at = ""
    await runner.start()
    assert runner.ran == ["b.gm"]


async def test_a_bundle_whose_last_step_fails_is_run_from_its_first_the_next_time(runner: Runner) -> None:
    runner.fails_at = "2.py"
    with pytest.raises(InvalidInput):
        await runner.start()
    runner.fails_at = ""
    await runner.start()
    assert runner.ran == ["1.R", "1.R", "2.py", "b.gm"]
