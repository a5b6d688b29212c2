"""A node all of whose surroundings fail at random: the fault harness, for half a minute."""

from pathlib import Path

import pytest

from benchmarks.harness.faults.run import Options, run


@pytest.mark.timeout(240)
async def test_every_call_is_answered_rightly_while_all_around_fails(tmp_path: Path) -> None:
    report = await run(Options(seconds=25, callers=32, seed=7), tmp_path, lambda line, seconds: None)
    assert not report.failures, report.examples
    assert not report.left, "tasks are left over"
    assert report.status == 0, (tmp_path / "node.log").read_text()[-2000:]
    assert report.after.faults, "nothing was broken, and nothing shown"
    assert report.passed, [*report.verdicts, *report.after.stalls[:3]]
