"""Head and body of a small answer leave in one write; nothing is ever held back or put out of order."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from gristmill.app.one_write import Joining


class FakeTransport:
    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.writes.append(bytes(data))

    def writelines(self, parts: tuple[bytes, ...]) -> None:
        self.writes.append(b"".join(parts))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return 0


async def test_head_and_body_are_one_write() -> None:
    transport = FakeTransport()
    joining = Joining(transport)  # type: ignore[arg-type]
    joining.write(b"head")
    joining.write(b"body")
    assert transport.writes == [b"headbody"]


async def test_a_head_whose_body_is_late_leaves_when_the_loop_comes_round() -> None:
    transport = FakeTransport()
    joining = Joining(transport)  # type: ignore[arg-type]
    joining.write(b"head")
    await asyncio.sleep(0)
    assert transport.writes == [b"head"]


async def test_what_is_held_leaves_before_the_connection_is_closed() -> None:
    transport = FakeTransport()
    joining = Joining(transport)  # type: ignore[arg-type]
    joining.write(b"head")
    joining.close()
    assert transport.writes == [b"head"]
    assert joining.is_closing()


@given(st.lists(st.one_of(st.binary(max_size=20), st.just(b"x" * 70_000), st.none()), max_size=20))
def test_the_bytes_are_the_same_in_the_same_order(events: list[bytes | None]) -> None:
    async def play() -> bytes:
        transport = FakeTransport()
        joining = Joining(transport)  # type: ignore[arg-type]
        for event in events:
            if event is None:
                await asyncio.sleep(0)
            else:
                joining.write(event)
        joining.close()
        return b"".join(transport.writes)

    assert asyncio.run(play()) == b"".join(event for event in events if event)
