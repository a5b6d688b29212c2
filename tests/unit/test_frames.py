"""Frames survive any cutting of the stream, and nothing is allocated for what is not allowed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.frames import HEADER, BrokenFrame, Decoder, Frame, Kind, pack_header

frames = st.lists(
    st.builds(
        Frame,
        kind=st.integers(0, 255),
        id=st.integers(0, 2**32 - 1),
        handle=st.integers(0, 2**32 - 1),
        status=st.integers(0, 255),
        meta=st.binary(max_size=20),
        body=st.binary(max_size=200),
    ),
    max_size=6,
)


def packed(frame: Frame) -> bytes:
    header = pack_header(
        frame.kind,
        frame.id,
        len(frame.body),
        handle=frame.handle,
        status=frame.status,
        meta_length=len(frame.meta),
    )
    return header + frame.meta + frame.body


@given(frames, st.lists(st.integers(1, 60), min_size=1))
def test_frames_survive_any_cutting_of_the_stream(sent: list[Frame], sizes: list[int]) -> None:
    stream = b"".join(map(packed, sent))
    decoder, received, start, turn = Decoder(1 << 20), list[Frame](), 0, 0
    while start < len(stream):
        size = sizes[turn % len(sizes)]
        received += decoder.feed(stream[start : start + size])
        start, turn = start + size, turn + 1
    assert received == sent
    assert decoder.pending == 0


@given(frames)
def test_many_frames_in_one_piece_come_one_by_one(sent: list[Frame]) -> None:
    assert list(Decoder(1 << 20).feed(b"".join(map(packed, sent)))) == sent


@given(frames.filter(bool), st.integers(1, 16))
def test_what_is_pending_is_what_is_not_yet_complete(sent: list[Frame], cut: int) -> None:
    last = packed(sent[-1])
    piece = last[: min(cut, len(last) - 1)]
    decoder = Decoder(1 << 20)
    assert list(decoder.feed(b"".join(map(packed, sent[:-1])) + piece)) == sent[:-1]
    assert decoder.pending == len(piece)
    assert list(decoder.feed(last[len(piece) :])) == [sent[-1]]


def test_a_frame_of_the_permitted_size_passes_and_a_larger_one_is_refused_by_its_header() -> None:
    decoder = Decoder(100)
    assert len(list(decoder.feed(packed(Frame(1, 1, 0, 0, b"", b"x" * 100))))) == 1
    with pytest.raises(BrokenFrame, match="101 bytes was announced, 100 at most"):
        list(decoder.feed(pack_header(1, 1, 101)))


def test_more_meta_than_there_is_breaks_the_stream() -> None:
    with pytest.raises(BrokenFrame, match="4 bytes announced 5 bytes of meta"):
        list(Decoder(100).feed(HEADER.pack(4, 1, 0, 5, 1, 0)))


def test_a_header_that_cannot_be_packed_is_refused() -> None:
    with pytest.raises(BrokenFrame, match="65535 at most"):
        pack_header(1, 1, 0, meta_length=1 << 16)
    with pytest.raises(BrokenFrame, match="4294967295 at most"):
        pack_header(1, 1, 1 << 32)


@pytest.mark.parametrize("meta", [0, 16, 4090, 60_000])
@pytest.mark.parametrize("piece", [5000, 65_536, 1 << 20])
def test_a_large_frame_in_pieces_comes_whole_and_alone_or_with_the_next(meta: int, piece: int) -> None:
    body, extra = bytes(range(256)) * 8192, b"m" * meta
    first = pack_header(Kind.REPLY, 7, len(body), status=1, meta_length=meta) + extra + body
    second = pack_header(Kind.REPLY, 8, 2) + b"{}"
    for stream in (first, first + second, first + second[:5]):
        decoder = Decoder(1 << 24)
        frames = [
            frame for at in range(0, len(stream), piece) for frame in decoder.feed(stream[at : at + piece])
        ]
        assert frames[0] == Frame(Kind.REPLY, 7, 0, 1, extra, body)
        assert len(frames) == (2 if stream == first + second else 1)
        assert decoder.pending == (5 if stream == first + second[:5] else 0)
