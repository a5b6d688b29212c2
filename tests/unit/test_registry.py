"""The registry, on fakes."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.errors import Conflict, Forbidden, GristmillError, InvalidInput, NotFound, TooLarge
from gristmill.identity import Principal, Role
from gristmill.ports import StateUnavailable
from gristmill.publishing import Limits, check_service, new_version, with_changes
from gristmill.registry import Registry
from gristmill.schema import Parameter, ParameterType
from gristmill.services import PoolSize, Runtime, ServiceVersion, check_name
from gristmill.testing import MemoryStores
from gristmill.testing_clock import run_jumping
from gristmill.web.v2 import find_model
from tests.contract.records import service, snapshot

ANN = Principal(name="ann", role=Role.CONTRIBUTOR)
BOB = Principal(name="bob", role=Role.CONTRIBUTOR)
OWNER = Principal(name="root", role=Role.OWNER)
READER = Principal(name="eve", role=Role.READER)
X = Parameter("x", ParameterType.NUMERIC)
Y = Parameter("y", ParameterType.NUMERIC)


@pytest.fixture
def stores() -> MemoryStores:
    return MemoryStores()


@pytest.fixture
async def registry(stores: MemoryStores) -> Registry:
    registry = Registry(stores.services, stores.snapshots)
    await registry.refresh()
    return registry


async def test_a_published_version_is_resolved_at_once(registry: Registry, stores: MemoryStores) -> None:
    before = datetime.now(UTC)
    published = await registry.publish(service(owner="forged", description="d"), None, ANN)
    assert published.owner == "ann"
    assert before <= published.created <= datetime.now(UTC)
    assert published.digest == published.sealed().digest != ""
    assert registry.resolve("bos", "1") is published
    assert (await stores.services.load())[1] == [published]


async def test_an_unknown_service_or_version_is_not_found(registry: Registry) -> None:
    await registry.publish(service(), None, ANN)
    for name, version in (("bos", "2"), ("other", "1"), ("bos\x00", "1"), ("\ud800", "")):
        with pytest.raises(NotFound):
            registry.resolve(name, version)


async def test_versions_come_oldest_first_of_one_name_or_of_all(registry: Registry) -> None:
    for name, version in (("b", "2"), ("a", "1"), ("b", "1")):
        await registry.publish(service(name, version), None, ANN)
    assert [s.version for s in registry.versions("b")] == ["2", "1"]
    assert [(s.name, s.version) for s in registry.versions()] == [("b", "2"), ("a", "1"), ("b", "1")]
    assert registry.versions("unknown") == []


async def test_a_version_keeps_its_rank_when_it_is_patched(registry: Registry) -> None:
    for version in ("1", "2"):
        await registry.publish(service("bos", version), None, ANN)
    await registry.patch("bos", "1", {"description": "new"}, ANN)
    assert [s.version for s in registry.versions("bos")] == ["1", "2"]


async def test_the_same_version_twice_is_a_conflict_that_changes_nothing(registry: Registry) -> None:
    first = await registry.publish(service(), None, ANN)
    with pytest.raises(Conflict):
        await registry.publish(service(code="other"), None, BOB)
    assert registry.resolve("bos", "1") is first


async def test_of_concurrent_publishes_of_one_version_one_succeeds(registry: Registry) -> None:
    tries = [registry.publish(service(code=str(i)), None, ANN) for i in range(10)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert len([r for r in results if isinstance(r, Conflict)]) == 9
    assert [r for r in results if isinstance(r, ServiceVersion)] == registry.versions()


async def test_only_who_may_publish_can(registry: Registry) -> None:
    with pytest.raises(Forbidden):
        await registry.publish(service(), None, READER)


async def test_content_is_that_of_the_publishers_snapshot(registry: Registry, stores: MemoryStores) -> None:
    await stores.snapshots.add(snapshot())
    published = await registry.publish(service(content="forged"), "s1", ANN)
    assert (published.snapshot_id, published.content) == ("s1", "c" * 64)
    without = await registry.publish(service("bos", "2", content="forged", snapshot_id="s1"), "", ANN)
    assert (without.snapshot_id, without.content) == (None, None)


async def test_a_snapshot_of_another_user_is_not_found(registry: Registry, stores: MemoryStores) -> None:
    await stores.snapshots.add(snapshot())
    for principal in (BOB, OWNER):
        with pytest.raises(NotFound, match="'s1'"):
            await registry.publish(service(), "s1", principal)
    with pytest.raises(NotFound, match="'unknown'"):
        await registry.publish(service(), "unknown", ANN)
    assert registry.versions() == []


async def test_a_snapshot_of_the_other_language_is_refused(registry: Registry, stores: MemoryStores) -> None:
    await stores.snapshots.add(snapshot(runtime=Runtime.PYTHON))
    with pytest.raises(InvalidInput, match="workspace of Python, and the service runs on R"):
        await registry.publish(service(), "s1", ANN)


async def test_a_patch_changes_what_is_given_and_keeps_the_rest(registry: Registry) -> None:
    old = await registry.publish(
        service(inputs=(X,), outputs=(Y,), output_files=("a.png",), description="d", operation_id="op"),
        None,
        ANN,
    )
    new = await registry.patch("bos", "1", {"code": "new", "inputs": None, "description": None}, ANN)
    assert new == replace(old, code="new").sealed()
    assert registry.resolve("bos", "1") is new
    assert new.digest != old.digest


async def test_an_empty_operation_id_is_none(registry: Registry) -> None:
    assert (await registry.publish(service(operation_id=""), None, ANN)).alias == "consume"


async def test_an_empty_list_clears(registry: Registry) -> None:
    await registry.publish(service(inputs=(X,), outputs=(Y,), output_files=("a.png",)), None, ANN)
    cleared = await registry.patch("bos", "1", {"inputs": [], "outputs": [], "output_files": []}, ANN)
    assert (cleared.inputs, cleared.outputs, cleared.output_files) == ((), (), ())


async def test_a_patch_takes_another_snapshot_of_the_patcher(
    registry: Registry, stores: MemoryStores
) -> None:
    await stores.snapshots.add(snapshot())
    await stores.snapshots.add(snapshot("s2", content="d" * 64))
    await registry.publish(service(), "s1", ANN)
    assert (await registry.patch("bos", "1", {"snapshot_id": ""}, ANN)).content == "c" * 64
    assert (await registry.patch("bos", "1", {"snapshot_id": "s2"}, ANN)).content == "d" * 64
    with pytest.raises(NotFound):
        await registry.patch("bos", "1", {"snapshot_id": "s1"}, OWNER)
    assert registry.resolve("bos", "1").content == "d" * 64


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"runtime": Runtime.PYTHON}, "cannot become Python"),
        ({"owner": "bob"}, "'owner' of a service cannot be changed"),
        ({"content": "c" * 64}, "'content'"),
        ({"operation_id": "1 x"}, "operationId '1 x'"),
        ({"inputs": [X, X]}, "declared 2 times"),
        ({"output_files": ["../x"]}, "not a plain file name"),
    ],
)
async def test_a_patch_that_is_not_allowed_changes_nothing(
    registry: Registry, changes: dict[str, Any], message: str
) -> None:
    old = await registry.publish(service(), None, ANN)
    with pytest.raises(InvalidInput, match=message):
        await registry.patch("bos", "1", changes, ANN)
    assert registry.resolve("bos", "1") is old


async def test_the_same_runtime_may_be_given_again(registry: Registry) -> None:
    await registry.publish(service(operation_id="op"), None, ANN)
    patched = await registry.patch("bos", "1", {"runtime": "R", "operation_id": ""}, ANN)
    assert patched.runtime is Runtime.R
    assert patched.operation_id is None


async def test_only_the_publisher_or_an_owner_may_change_or_delete(registry: Registry) -> None:
    await registry.publish(service(), None, ANN)
    for principal in (BOB, READER):
        with pytest.raises(Forbidden):
            await registry.patch("bos", "1", {"code": "evil"}, principal)
        with pytest.raises(Forbidden):
            await registry.delete("bos", "1", principal)
    patched = await registry.patch("bos", "1", {"code": "better"}, OWNER)
    assert patched.owner == "ann"
    await registry.delete("bos", "1", ANN)
    assert registry.versions() == []


async def test_what_is_not_there_can_be_neither_changed_nor_deleted(registry: Registry) -> None:
    with pytest.raises(NotFound):
        await registry.patch("bos", "1", {}, OWNER)
    with pytest.raises(NotFound):
        await registry.delete("bos", "1", OWNER)


async def test_concurrent_patches_of_two_nodes_are_all_kept(stores: MemoryStores) -> None:
    nodes = [Registry(stores.services, stores.snapshots) for _ in range(2)]
    await nodes[0].publish(service(), None, ANN)
    fields = ["code", "init_code", "description", "operation_id"]
    await asyncio.gather(
        *(nodes[i % 2].patch("bos", "1", {field: f"new_{i}"}, ANN) for i, field in enumerate(fields))
    )
    for node in nodes:
        await node.refresh()
        found = node.resolve("bos", "1")
        assert [getattr(found, field) for field in fields] == [f"new_{i}" for i in range(4)]


@pytest.mark.parametrize("method", ["replace", "remove"])
async def test_a_change_that_another_node_overtakes_is_made_again(
    registry: Registry, stores: MemoryStores, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    await registry.publish(service(), None, ANN)
    original = getattr(stores.services, method)
    other = Registry(stores.services, stores.snapshots)

    async def overtaken(*arguments: ServiceVersion) -> int | None:
        monkeypatch.undo()
        await other.patch("bos", "1", {"description": "theirs"}, ANN)
        revision: int | None = await original(*arguments)
        return revision

    monkeypatch.setattr(stores.services, method, overtaken)
    if method == "remove":
        await registry.delete("bos", "1", ANN)
        assert registry.versions() == []
    else:
        patched = await registry.patch("bos", "1", {"code": "ours"}, ANN)
        assert (patched.code, patched.description) == ("ours", "theirs")


async def test_what_another_node_wrote_is_seen_after_a_refresh(stores: MemoryStores) -> None:
    here, there = (Registry(stores.services, stores.snapshots) for _ in range(2))
    await there.publish(service("a"), None, ANN)
    await here.publish(service("b"), None, ANN)
    assert [s.name for s in here.versions()] == ["a", "b"], "a write finds that others have written, too"
    assert [s.name for s in there.versions()] == ["a"]
    await there.refresh()
    assert there.versions() == here.versions()


async def test_what_another_node_has_just_published_is_found_by_its_first_caller(
    stores: MemoryStores,
) -> None:
    here, there = (Registry(stores.services, stores.snapshots) for _ in range(2))
    await here.refresh()
    published = await there.publish(service(), None, ANN)
    with pytest.raises(NotFound):
        here.resolve("bos", "1")
    assert await here.find("bos", "1") == published
    await there.delete("bos", "1", ANN)
    await here.refresh()
    with pytest.raises(NotFound):
        await here.find("bos", "1")


async def test_a_thousand_callers_of_what_does_not_exist_ask_the_store_twice(
    registry: Registry, stores: MemoryStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0
    revision = stores.services.revision

    async def counted() -> int:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)
        return await revision()

    monkeypatch.setattr(stores.services, "revision", counted)
    answers = await asyncio.gather(*(registry.find("bos", "1") for _ in range(1000)), return_exceptions=True)
    assert {type(answer) for answer in answers} == {NotFound}
    assert 1 <= asked <= 2


async def test_another_nodes_version_can_be_patched_before_any_refresh(stores: MemoryStores) -> None:
    here, there = (Registry(stores.services, stores.snapshots) for _ in range(2))
    await there.publish(service(), None, ANN)
    await here.patch("bos", "1", {"description": "from here"}, ANN)
    await there.delete("bos", "1", ANN)
    with pytest.raises(NotFound):
        await here.patch("bos", "1", {"description": "late"}, ANN)


async def test_subscribers_are_told_of_what_was_replaced_or_deleted_here_or_elsewhere(
    stores: MemoryStores,
) -> None:
    here, there = (Registry(stores.services, stores.snapshots) for _ in range(2))
    told: list[str] = []
    there.subscribe(lambda old: told.append(f"{old.name} {old.description}"))
    await there.publish(service("a", description="first"), None, ANN)
    await there.publish(service("b", description="kept"), None, ANN)
    await there.patch("a", "1", {"description": "second"}, ANN)
    assert told == ["a first"]
    await here.patch("a", "1", {"description": "third"}, ANN)
    await there.refresh()
    assert told == ["a first", "a second"]
    await here.delete("a", "1", ANN)
    await there.refresh()
    await there.refresh()
    assert told == ["a first", "a second", "a third"]
    await there.delete("b", "1", ANN)
    assert told == ["a first", "a second", "a third", "b kept"]


async def test_a_refresh_without_a_change_reads_only_the_revision(
    registry: Registry, stores: MemoryStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    await registry.publish(service(), None, ANN)
    monkeypatch.delattr(type(stores.services), "load")
    await registry.refresh()


def test_a_made_up_version_can_name_a_version() -> None:
    assert check_name("version", new_version()) != new_version()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "../x"}, "name of a service"),
        ({"version": "a/b"}, "version of a service"),
        ({"code": "a\x00b"}, "code holds a NUL"),
        ({"init_code": "x\ud800"}, "initCode holds half of a surrogate pair at character 1"),
        ({"description": "\x00"}, "description holds a NUL"),
        ({"operation_id": "a-b"}, "operationId 'a-b'"),
        ({"operation_id": ""}, "operationId ''"),
        ({"operation_id": "x" * 129}, "operationId"),
        ({"inputs": (X, Y, X)}, "the input parameter 'x' is declared 2 times"),
        ({"outputs": (Y, Y)}, "the output parameter 'y' is declared 2 times"),
        (
            {"inputs": tuple(Parameter(f"x{i}", ParameterType.NUMERIC) for i in range(5))},
            "5 input parameters",
        ),
        ({"inputs": (Parameter("", ParameterType.NUMERIC),)}, "'' cannot be the name"),
        ({"output_files": ("a", "a")}, "the output file 'a' is declared 2 times"),
        ({"output_files": ("a/b",)}, "plain file name"),
        ({"output_files": ("..",)}, "plain file name"),
        ({"output_files": ("a\\b",)}, "plain file name"),
        ({"output_files": ("a\nb",)}, "printable"),
        ({"output_files": ("ü" * 200,)}, "255"),
    ],
)
def test_what_cannot_be_stored_is_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        check_service(replace(service(), **fields), Limits(parameters=4))


@pytest.mark.parametrize(
    "fields",
    [{"code": "ü" * 30, "init_code": "x" * 41}, {"description": "x" * 51}],
    ids=["code", "description"],
)
def test_too_much_text_is_too_large(fields: dict[str, Any]) -> None:
    with pytest.raises(TooLarge, match="at most"):
        check_service(replace(service(), **fields), Limits(code=100, description=50))


names = st.text(max_size=8)


@given(name=names, operation=st.none() | names, files=st.lists(names, max_size=3), code=names)
def test_whatever_comes_is_accepted_or_refused_with_a_reason(
    name: str, operation: str | None, files: list[str], code: str
) -> None:
    draft = replace(service(), name=name, operation_id=operation, output_files=tuple(files), code=code)
    with contextlib.suppress(GristmillError):
        check_service(draft, Limits())
        assert "\x00" not in code
        assert code.encode().decode() == code
        assert check_name("name", name) == name
        assert all("/" not in file and file not in {"", ".", ".."} for file in files)


texts = st.text(max_size=5)


@given(
    first=st.fixed_dictionaries(
        {}, optional={"code": texts, "description": texts, "batchable": st.booleans()}
    ),
    second=st.fixed_dictionaries({}, optional={"code": texts, "init_code": texts, "inputs": st.just([X])}),
)
def test_two_patches_are_the_same_as_one_with_the_later_values(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    old = service()
    one_by_one = with_changes(with_changes(old, first), second)
    assert one_by_one == with_changes(old, {**first, **second})


START_UP = Principal(name="admin", role=Role.OWNER, replaces=True)


async def test_who_replaces_may_publish_what_exists_and_its_owner_age_and_shells_stay(
    registry: Registry, stores: MemoryStores
) -> None:
    old = await registry.publish(service(code="old"), None, ANN)
    await registry.set_pool("bos", "1", PoolSize(initial=1, maximum=2), ANN)
    told: list[ServiceVersion] = []
    registry.subscribe(told.append)
    new = await registry.publish(service(code="new", runtime=Runtime.PYTHON), None, START_UP)
    assert (new.code, new.runtime, new.owner, new.created) == ("new", "Python", "ann", old.created)
    assert new.pool == PoolSize(initial=1, maximum=2)
    assert [each.code for each in told] == ["old"]
    assert registry.resolve("bos", "1") == new == (await stores.services.load())[1][0]


async def test_who_replaces_writes_nothing_where_the_same_is_there(
    registry: Registry, stores: MemoryStores
) -> None:
    await registry.publish(service(), None, START_UP)
    revision = await stores.services.revision()
    await registry.publish(service(), None, START_UP)
    assert await stores.services.revision() == revision
    await registry.publish(service(description="told anew"), None, START_UP)
    assert await stores.services.revision() == revision + 1


async def test_nodes_that_replace_at_once_agree(stores: MemoryStores) -> None:
    nodes = [Registry(stores.services, stores.snapshots) for _ in range(4)]
    await asyncio.gather(
        *(node.publish(service(code=f"node {n}"), None, START_UP) for n, node in enumerate(nodes))
    )
    (stored,) = (await stores.services.load())[1]
    for node in nodes:
        await node.refresh()
        assert node.resolve("bos", "1") == stored


async def test_a_version_that_comes_with_shells_of_its_own_is_told_of_on_every_node(
    registry: Registry, stores: MemoryStores
) -> None:
    other = Registry(stores.services, stores.snapshots)
    await other.refresh()
    told: list[tuple[str, ServiceVersion]] = []
    registry.subscribe(lambda each: told.append(("here", each)))
    other.subscribe(lambda each: told.append(("there", each)))
    draft = service(pool=PoolSize(initial=1, maximum=1))
    taken = await registry.take_in(draft, ANN, over=False)
    await other.refresh()
    assert told == [("here", taken), ("there", taken)]


# Answers that are lost, and nodes that meet


class LosesAnswers:
    """Does what a store's method does, and loses the answers to the first calls; counts all of them."""

    def __init__(self, of: object, name: str, *, times: int = 1) -> None:
        self.original = getattr(of, name)
        self.times, self.calls = times, 0
        setattr(of, name, self)

    async def __call__(self, *given: Any, **named: Any) -> Any:
        self.calls += 1
        done = await self.original(*given, **named)
        if self.calls <= self.times:
            raise StateUnavailable("the answer was lost")
        return done


@pytest.mark.parametrize("by", [ANN, START_UP])
async def test_a_publish_whose_answer_was_lost_is_no_conflict_with_itself(
    registry: Registry, stores: MemoryStores, by: Principal
) -> None:
    adding = LosesAnswers(stores.services, "add")
    published = await registry.publish(service(), None, by)
    assert registry.resolve("bos", "1") == published == (await stores.services.load())[1][0]
    assert adding.calls == 1


async def test_a_publish_whose_answer_was_lost_still_conflicts_with_anothers(
    registry: Registry, stores: MemoryStores
) -> None:
    await Registry(stores.services, stores.snapshots).publish(service(), None, BOB)
    LosesAnswers(stores.services, "revision")
    with pytest.raises(StateUnavailable):
        await registry.publish(service(), None, ANN)
    with pytest.raises(Conflict, match="exists already"):
        await registry.publish(service(), None, ANN)


@pytest.mark.parametrize("times", [1, 3])
async def test_a_patch_and_a_removal_whose_answers_were_lost_are_done(
    registry: Registry, stores: MemoryStores, times: int
) -> None:
    await registry.publish(service(), None, ANN)
    LosesAnswers(stores.services, "replace", times=times)
    patched = await registry.patch("bos", "1", {"description": "new"}, ANN)
    assert registry.resolve("bos", "1") == patched == (await stores.services.load())[1][0]
    LosesAnswers(stores.services, "remove", times=times)
    await registry.delete("bos", "1", ANN)
    assert (await stores.services.load())[1] == registry.versions() == []


@pytest.mark.parametrize("method", ["add", "replace", "remove"])
def test_a_write_to_a_store_that_is_away_is_tried_a_few_times_and_then_said(method: str) -> None:
    async def main() -> int:
        stores = MemoryStores()
        registry = Registry(stores.services, stores.snapshots)
        if method != "add":
            await registry.publish(service(), None, ANN)
        calls = 0

        async def away(*given: Any, **named: Any) -> int:
            nonlocal calls
            calls += 1
            raise StateUnavailable("away")

        setattr(stores.services, method, away)
        writes: dict[str, Callable[[], Coroutine[Any, Any, object]]] = {
            "add": lambda: registry.publish(service(), None, ANN),
            "replace": lambda: registry.patch("bos", "1", {"code": "y"}, ANN),
            "remove": lambda: registry.delete("bos", "1", ANN),
        }
        with pytest.raises(StateUnavailable):
            await writes[method]()
        return calls

    assert run_jumping(main()) == 8


def test_writes_that_others_always_overtake_end_with_a_word_and_not_in_a_loop() -> None:
    async def main() -> int:
        stores = MemoryStores()
        registry = Registry(stores.services, stores.snapshots)
        await registry.publish(service(), None, ANN)
        calls = 0

        async def overtaken(*given: Any, **named: Any) -> None:
            nonlocal calls
            calls += 1

        stores.services.replace = overtaken  # type: ignore[method-assign]
        for write in (
            registry.patch("bos", "1", {"code": "y"}, ANN),
            registry.publish(service(code="z"), None, START_UP),
        ):
            with pytest.raises(Conflict, match="being changed by others"):
                await write
        return calls

    assert run_jumping(main()) == 16


async def test_a_publish_that_replaces_ends_when_its_snapshot_is_deleted_meanwhile(
    registry: Registry, stores: MemoryStores
) -> None:
    await stores.snapshots.add(snapshot(owner="admin"))
    get, add = stores.snapshots.get, LosesAnswers(stores.services, "add", times=0)

    async def racing(id: str) -> Any:
        found = await get(id)
        await stores.snapshots.remove(id)  # its owner deletes it at this moment
        return found

    stores.snapshots.get = racing  # type: ignore[method-assign]
    with pytest.raises(NotFound, match="snapshot was deleted"):
        await registry.publish(service(), "s1", START_UP)
    assert add.calls == 1


async def test_many_patches_of_one_service_on_one_node_never_meet(
    registry: Registry, stores: MemoryStores
) -> None:
    await registry.publish(service(), None, ANN)
    replacing = LosesAnswers(stores.services, "replace", times=0)
    await asyncio.gather(*(registry.patch("bos", "1", {"code": str(n)}, ANN) for n in range(50)))
    assert replacing.calls == 50


async def test_a_list_shows_what_another_node_has_just_written(stores: MemoryStores) -> None:
    here, there = (Registry(stores.services, stores.snapshots) for _ in range(2))
    await here.refresh()
    published = await there.publish(service(), None, ANN)
    assert here.versions() == []
    assert await here.listed("other") == []
    assert await here.listed("bos") == await here.listed() == [published]


@pytest.mark.parametrize("fault", ["raises", "hangs"])
def test_a_list_shows_what_is_known_while_the_store_is_away(fault: str) -> None:
    async def main() -> None:
        stores = MemoryStores()
        registry = Registry(stores.services, stores.snapshots)
        published = await registry.publish(service(), None, ANN)

        async def revision() -> int:
            if fault == "hangs":
                await asyncio.sleep(1e6)
            raise StateUnavailable("away")

        stores.services.revision = revision  # type: ignore[method-assign]
        begun = asyncio.get_running_loop().time()
        assert await registry.listed() == [published]
        assert asyncio.get_running_loop().time() - begun < 5

    run_jumping(main())


async def test_a_model_that_another_node_has_just_published_is_found_by_its_name_alone(
    stores: MemoryStores,
) -> None:
    here, there = (Registry(stores.services, stores.snapshots) for _ in range(2))
    await here.refresh()
    draft = service(runtime=Runtime.REALTIME, code="", content="a" * 64)
    published = await there.publish(draft, None, ANN)
    assert await find_model(here, "bos", None) == published
    with pytest.raises(NotFound):
        await find_model(here, "other", None)
