"""What every `BatchStore` promises."""

import time
from dataclasses import replace
from typing import Any

import pytest

from gristmill.errors import Conflict
from gristmill.jobs import Batch, BatchState, Claim
from gristmill.ports import Stores
from gristmill.schema import Form, Parameter, ParameterType
from gristmill.services import PoolSize
from tests.contract.records import batch, result, service

LATER = 2000.0


async def started(stores: Stores, stored: Batch | None = None, **fields: Any) -> Claim:
    """A batch that node `n1` holds from 1000 until 2000."""
    await stores.batches.add(stored or batch(**fields))
    [taken] = await stores.batches.take("n1", now=1000, until=LATER, most=1)
    return Claim(taken.id, taken.takes)


async def get(stores: Stores, id: str = "b1") -> Batch:
    found = await stores.batches.get(id)
    assert found is not None
    return found


async def test_a_batch_comes_back_as_it_was_stored(stores: Stores) -> None:
    of = service(
        content="c" * 64,
        inputs=(
            Parameter(name="x", type=ParameterType.DATA_FRAME, columns=("a", "ü"), form=Form.FRAME),
            Parameter(name="n", type=ParameterType.NUMERIC),
        ),
        output_files=("a.png",),
        batchable=True,
        pool=PoolSize(initial=1, maximum=2),
    )
    stored = batch(service=of, parallel=7, total=100_000)
    await stores.batches.add(stored)
    assert await stores.batches.get("b1") == stored


@pytest.mark.parametrize("id", ["unknown", "", "../x", "a\x00b", "\ud800", "x" * 100_000])
async def test_an_unknown_id_is_none_whatever_it_looks_like(stores: Stores, id: str) -> None:
    assert await stores.batches.get(id) is None
    assert await stores.batches.recorded("unknown") == []


async def test_an_id_exists_once(stores: Stores) -> None:
    await stores.batches.add(batch())
    with pytest.raises(Conflict, match="'b1'"):
        await stores.batches.add(batch(owner="bob"))


async def test_a_batch_that_is_added_again_by_who_heard_no_answer_is_there_once(stores: Stores) -> None:
    await stores.batches.add(batch(owner="bob"))
    await stores.batches.take("n1", now=0, until=100, most=1)
    await stores.batches.add(batch(owner="bob"))
    assert await stores.batches.of("bos", "1", None) == ["b1"]
    assert (await get(stores)).takes == 1


async def test_batches_are_listed_by_service_and_owner_oldest_first(stores: Stores) -> None:
    await stores.batches.add(batch("z"))
    await stores.batches.add(batch("b", "bob"))
    await stores.batches.add(batch("a"))
    await stores.batches.add(batch("other", service=service(version="2")))
    assert await stores.batches.of("bos", "1", "ann") == ["z", "a"]
    assert await stores.batches.of("bos", "1", None) == ["z", "b", "a"]
    assert await stores.batches.of("bos", "3", None) == []


async def test_a_batch_is_taken_by_one_node_until_its_time_is_over(stores: Stores) -> None:
    await stores.batches.add(batch("b1"))
    await stores.batches.add(batch("b2"))
    assert [b.id for b in await stores.batches.take("n1", now=0, until=100, most=1)] == ["b1"]
    [other] = await stores.batches.take("n2", now=0, until=50, most=5)
    assert (other.id, other.state, other.takes) == ("b2", BatchState.IN_PROGRESS, 1)
    assert await stores.batches.take("n3", now=49, until=1000, most=5) == []
    [again] = await stores.batches.take("n3", now=50, until=1000, most=5)
    assert (again.id, again.takes, again.stalled) == ("b2", 2, 2)
    assert again == await get(stores, "b2")


async def test_owners_come_in_turn_and_what_was_taken_less_often_comes_first(stores: Stores) -> None:
    for id in ("a1", "a2", "a3"):
        await stores.batches.add(batch(id))
    await stores.batches.add(batch("b1", "bob"))
    assert await stores.batches.waiting(now=0, most=9) == ["ann", "bob", "ann", "ann"]
    assert [b.id for b in await stores.batches.take("n1", now=0, until=100, most=2)] == ["a1", "b1"]
    await stores.batches.give_back(Claim("a1", 1))
    assert [b.id for b in await stores.batches.take("n1", now=0, until=100, most=1)] == ["a2"]
    await stores.batches.add(batch("b2", "bob"))
    taken = await stores.batches.take("n1", now=0, until=100, most=1, running={"ann": 1, "bob": 0})
    assert [b.id for b in taken] == ["b2"]
    assert await stores.batches.waiting(now=0, most=1) == ["ann"]
    rest = await stores.batches.take("n2", now=0, until=100, most=9, running={"nobody": 3})
    assert {b.id for b in rest} == {"a1", "a3"}
    assert await stores.batches.waiting(now=0, most=9) == []


async def test_the_time_is_the_databases_and_not_the_nodes(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = time.time()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert before - 1 < await stores.batches.now() < before + 10
    claim = await started(stores, total=1)
    await stores.batches.record(claim, [result(0)], until=LATER)
    finished = (await get(stores)).finished
    assert finished is not None
    assert before - 1 < finished.timestamp() < before + 10


async def test_results_are_counted_and_the_last_one_completes_the_batch(stores: Stores) -> None:
    claim = await started(stores)
    assert await stores.batches.record(claim, [result(2), result(0, ok=False)], until=LATER) == 2
    half = await get(stores)
    assert (half.state, half.completed, half.failed, half.stalled) == (BatchState.IN_PROGRESS, 2, 1, 0)
    assert half.finished is None
    assert await stores.batches.record(claim, [result(1)], until=LATER) == 3
    done = await get(stores)
    assert (done.state, done.completed, done.failed) == (BatchState.COMPLETE, 3, 1)
    assert done.finished is not None
    assert await stores.batches.take("n2", now=1e12, until=2e12, most=5) == []


async def test_an_item_has_one_result_whoever_sends_another(stores: Stores) -> None:
    claim = await started(stores)
    await stores.batches.record(claim, [result(1)], until=LATER)
    with pytest.raises(Conflict, match="has a result already"):
        await stores.batches.record(claim, [result(0), result(1, body=b"other")], until=LATER)
    [kept] = await stores.batches.results("b1", first=0, most=9, rank=9)
    assert kept == result(1, rank=1)
    assert (await get(stores)).completed == 1


async def test_what_is_recorded_again_by_who_heard_no_answer_counts_once(stores: Stores) -> None:
    claim = await started(stores)
    twice = [result(0, ok=False), result(2, body=None, content="2" * 64)]
    for _ in range(2):
        assert await stores.batches.record(claim, twice, until=LATER) == 2
    assert await stores.batches.record(claim, [*twice, result(1)], until=LATER) == 3
    done = await get(stores)
    assert (done.state, done.completed, done.failed) == (BatchState.COMPLETE, 3, 1)
    rows = await stores.batches.arrivals("b1", after=0, most=9)
    assert [(row.index, row.rank) for row in rows] == [(0, 1), (2, 2), (1, 3)]
    assert await stores.batches.record(claim, [result(1)], until=LATER) is None


async def test_nothing_is_recorded_under_a_void_claim(stores: Stores) -> None:
    old = await started(stores)
    await stores.batches.record(old, [result(0)], until=LATER)
    [taken] = await stores.batches.take("n2", now=LATER, until=3000, most=1)
    assert await stores.batches.record(old, [result(1)], until=LATER) is None
    await stores.batches.fail(old, "no")
    await stores.batches.give_back(old)
    assert await stores.batches.hold([old], until=9000) == set()
    assert await get(stores) == taken
    assert await stores.batches.recorded("b1") == [0]
    new = Claim("b1", taken.takes)
    assert await stores.batches.record(new, [result(1), result(2)], until=LATER) == 3
    assert await stores.batches.record(new, [], until=LATER) is None


async def test_holding_keeps_others_away(stores: Stores) -> None:
    claim = await started(stores)
    assert await stores.batches.hold([claim, Claim("unknown", 1)], until=5000) == {claim}
    assert await stores.batches.take("n2", now=4999, until=9000, most=5) == []
    assert await stores.batches.hold([], until=5000) == set()


async def test_recording_holds_too(stores: Stores) -> None:
    claim = await started(stores)
    await stores.batches.record(claim, [result(0)], until=5000)
    assert await stores.batches.take("n2", now=4999, until=9000, most=5) == []


async def test_what_is_given_back_is_ready_for_any_node(stores: Stores) -> None:
    claim = await started(stores)
    await stores.batches.give_back(claim)
    assert (await get(stores)).state is BatchState.READY
    assert await stores.batches.record(claim, [result(0)], until=LATER) is None
    [taken] = await stores.batches.take("n2", now=0, until=100, most=1)
    assert (taken.takes, taken.stalled) == (2, 1)


async def test_a_node_that_starts_anew_frees_what_it_held(stores: Stores) -> None:
    claim = await started(stores)
    assert await stores.batches.give_back_all("n2") == 0
    assert await stores.batches.give_back_all("n1") == 1
    assert await stores.batches.record(claim, [result(0)], until=LATER) is None
    assert len(await stores.batches.take("n1", now=0, until=100, most=5)) == 1


async def test_a_node_frees_what_it_holds_and_does_not_know_of(stores: Stores) -> None:
    for id in ("b1", "b2", "b3"):
        await stores.batches.add(batch(id))
    await stores.batches.take("n1", now=0, until=100, most=2)
    await stores.batches.take("n2", now=0, until=100, most=2)
    assert await stores.batches.give_back_all("n1", but=["b1"]) == 1
    assert (await get(stores, "b2")).stalled == 0
    assert [b.id for b in await stores.batches.take("n1", now=0, until=100, most=5)] == ["b2"]
    assert await stores.batches.hold([Claim("b1", 1), Claim("b3", 1)], until=5) == {
        Claim("b1", 1),
        Claim("b3", 1),
    }


async def test_a_deleted_service_fails_its_batches_that_have_not_ended(stores: Stores) -> None:
    of = service()
    await stores.services.add(of)
    running = await started(stores, batch("running"))
    await stores.batches.add(batch("waiting", "bob"))
    await stores.batches.add(batch("other", service=service(version="2")))
    assert await stores.services.remove(service(description="changed meanwhile")) is None
    assert (await get(stores, "waiting")).state is BatchState.PENDING
    assert await stores.services.remove(of) is not None
    for id in ("running", "waiting"):
        failed = await get(stores, id)
        assert (failed.state, failed.message) == (BatchState.FAILED, "the service bos 1 was deleted")
        assert failed.finished is not None
    assert (await get(stores, "other")).state is BatchState.PENDING
    assert await stores.batches.record(running, [result(0)], until=LATER) is None
    assert await stores.batches.hold([running], until=LATER) == set()


async def test_a_failed_batch_keeps_its_results_and_is_not_taken_again(stores: Stores) -> None:
    claim = await started(stores)
    await stores.batches.record(claim, [result(0)], until=LATER)
    await stores.batches.fail(claim, "the service was deleted")
    failed = await get(stores)
    assert (failed.state, failed.message) == (BatchState.FAILED, "the service was deleted")
    assert failed.finished is not None
    assert await stores.batches.record(claim, [result(1)], until=LATER) is None
    assert await stores.batches.take("n2", now=1e12, until=2e12, most=5) == []
    assert await stores.batches.recorded("b1") == [0]


async def test_results_come_by_index_or_as_they_were_recorded(stores: Stores) -> None:
    claim = await started(stores, total=6)
    for index in (4, 0, 3, 1):
        await stores.batches.record(claim, [result(index)], until=LATER)

    async def indexes(first: int, most: int, rank: int) -> list[int]:
        found = await stores.batches.results("b1", first=first, most=most, rank=rank)
        return [each.index for each in found]

    assert await indexes(0, 9, 9) == [0, 1, 3, 4]
    assert await indexes(1, 2, 9) == [1, 3]
    assert await indexes(0, 9, 2) == [0, 4]
    arrived = await stores.batches.arrivals("b1", after=1, most=2)
    assert [(each.index, each.rank) for each in arrived] == [(0, 2), (3, 3)]
    assert sorted(await stores.batches.recorded("b1")) == [0, 1, 3, 4]


async def test_blobs_of_batches_are_referred_to_until_they_are_removed(stores: Stores) -> None:
    claim = await started(stores, batch(service=service(content="c" * 64)))
    large = result(0, body=None, content="2" * 64, files="3" * 64)
    await stores.batches.record(claim, [large, result(1, files="3" * 64)], until=LATER)
    await stores.batches.record(claim, [result(2, files="3" * 64)], until=LATER)
    assert await stores.batches.results("b1", first=0, most=1, rank=9) == [replace(large, rank=1)]
    assert await stores.references() == {"1" * 64, "2" * 64, "3" * 64, "c" * 64}
    assert await stores.batches.remove("b1") is True
    assert await stores.references() == set()


async def test_removing_cancels_and_forgets(stores: Stores) -> None:
    claim = await started(stores)
    await stores.batches.record(claim, [result(0)], until=LATER)
    assert await stores.batches.remove("b1") is True
    assert await stores.batches.remove("b1") is False
    assert await stores.batches.get("b1") is None
    assert await stores.batches.recorded("b1") == []
    assert await stores.batches.record(claim, [result(1)], until=LATER) is None
    assert await stores.batches.hold([claim], until=LATER) == set()
    await stores.batches.add(batch())
    assert await stores.batches.recorded("b1") == []


async def test_ended_batches_are_purged_after_their_time(stores: Stores) -> None:
    done = await started(stores, batch("done", total=1))
    await stores.batches.record(done, [result(0)], until=LATER)
    await started(stores, batch("running"))
    now = time.time()
    assert await stores.batches.purge(finished_before=now - 60) == 0
    assert await stores.batches.purge(finished_before=now + 60) == 1
    assert await stores.batches.get("done") is None
    assert await stores.batches.get("running") is not None


async def test_many_results_are_removed_to_the_last(stores: Stores) -> None:
    claim = await started(stores, batch(total=12_000))
    await stores.batches.record(claim, [result(index) for index in range(12_000)], until=LATER)
    assert (await get(stores)).state is BatchState.COMPLETE
    assert await stores.batches.remove("b1") is True
    await stores.batches.add(batch("b2"))
    assert await stores.batches.results("b2", first=0, most=9, rank=9) == []
