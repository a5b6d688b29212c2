"""What every `BlobStore` promises."""

import asyncio
import hashlib
import io
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gristmill.errors import NotFound, TooLarge
from gristmill.ports import BlobStore

EMPTY = hashlib.sha256(b"").hexdigest()


async def nothing() -> set[str]:
    return set()


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=5000), skipped=st.integers(0, 10))
async def test_content_is_named_by_its_hash_and_comes_back(
    blobs: BlobStore, content: bytes, skipped: int
) -> None:
    source = io.BytesIO(content)
    source.seek(skipped)
    rest = content[skipped:]
    stored = await blobs.put(source)
    assert stored == (hashlib.sha256(rest).hexdigest(), len(rest))
    with await blobs.open(stored.digest) as file:
        assert file.read() == rest


async def test_content_of_several_pieces_comes_back(blobs: BlobStore) -> None:
    content = os.urandom(3 * 2**20 + 17)
    digest, size = await blobs.put(io.BytesIO(content))
    assert size == len(content)
    with await blobs.open(digest) as file:
        assert file.read() == content


async def test_an_opened_blob_is_a_read_only_descriptor_at_its_start(blobs: BlobStore) -> None:
    digest, _ = await blobs.put(io.BytesIO(b"content"))
    with await blobs.open(digest) as first, await blobs.open(digest) as second:
        assert os.read(first.fileno(), 3) == b"con"
        assert os.read(second.fileno(), 3) == b"con"
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.write(first.fileno(), b"x")


async def test_content_over_the_limit_is_refused_and_not_kept(blobs: BlobStore) -> None:
    assert (await blobs.put(io.BytesIO(b"12345"), limit=5)).size == 5
    with pytest.raises(TooLarge, match="5 bytes"):
        await blobs.put(io.BytesIO(b"123456"), limit=5)
    with pytest.raises(NotFound):
        await blobs.open(hashlib.sha256(b"123456").hexdigest())


@pytest.mark.parametrize(
    "digest", [EMPTY, EMPTY.upper(), "", "../lock", "tmp", "/etc/passwd", "\x00", "\ud800"]
)
async def test_what_was_not_put_is_not_found(blobs: BlobStore, digest: str) -> None:
    with pytest.raises(NotFound):
        await blobs.open(digest)


async def test_a_source_that_fails_leaves_nothing(blobs: BlobStore) -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise ConnectionResetError("the peer went away")

    with pytest.raises(ConnectionResetError):
        await blobs.put(Failing())
    assert await blobs.sweep(nothing, grace=0) == 0


async def test_concurrent_puts_of_the_same_content_all_succeed(blobs: BlobStore) -> None:
    stored = await asyncio.gather(*(blobs.put(io.BytesIO(b"same")) for _ in range(20)))
    assert len(set(stored)) == 1
    assert await blobs.sweep(nothing, grace=-60) == 1


async def test_a_sweep_removes_what_nobody_refers_to(blobs: BlobStore) -> None:
    kept, _ = await blobs.put(io.BytesIO(b"kept"))
    unwanted, _ = await blobs.put(io.BytesIO(b"unwanted"))

    async def references() -> set[str]:
        return {kept, "f" * 64}

    assert await blobs.sweep(references, grace=-60) == 1
    with pytest.raises(NotFound):
        await blobs.open(unwanted)
    (await blobs.open(kept)).close()


async def test_a_sweep_spares_what_was_put_within_the_grace_period(blobs: BlobStore) -> None:
    digest, _ = await blobs.put(io.BytesIO(b"new"))
    assert await blobs.sweep(nothing, grace=60) == 0
    (await blobs.open(digest)).close()


async def test_a_blob_that_is_open_outlives_its_removal(blobs: BlobStore) -> None:
    digest, _ = await blobs.put(io.BytesIO(b"content"))
    with await blobs.open(digest) as file:
        assert await blobs.sweep(nothing, grace=-60) == 1
        assert file.read() == b"content"
