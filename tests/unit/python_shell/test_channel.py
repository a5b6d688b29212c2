"""The shell's sockets: frames of any size in and out, looking ahead, descriptors."""

import array
import os
import socket
import threading
from collections.abc import Iterator

import pytest

from gristmill.frames import Decoder, Frame, Kind, Status, pack_header
from gristmill.python_shell.channel import Channel, Gone


class Ends:
    def __init__(self) -> None:
        self.server, control = socket.socketpair()
        self.lender, descriptors = socket.socketpair()
        self.channel = Channel(control.detach(), descriptors.detach())

    def close(self) -> None:
        for each in (self.server, self.lender, self.channel._socket, self.channel._descriptors):
            each.close()


@pytest.fixture
def ends() -> Iterator[Ends]:
    made = Ends()
    yield made
    made.close()


def call(id: int, size: int = 0) -> bytes:
    return pack_header(Kind.CALL, id, size, handle=1) + b"x" * size


def test_looking_takes_what_waits_and_does_not_block(ends: Ends) -> None:
    ends.channel.look()
    assert not ends.channel.waiting
    ends.server.sendall(call(1) + call(2, 90_000) + call(3)[:5])
    ends.channel.look()
    ends.channel.look()
    assert [each.id for each in ends.channel.waiting] == [1, 2]
    ends.server.sendall(call(3)[5:])
    assert [ends.channel.next().id for _ in range(3)] == [1, 2, 3]


def test_looking_takes_no_more_than_it_may_hold(ends: Ends) -> None:
    writer = threading.Thread(target=ends.server.sendall, args=(b"".join([call(1, 1 << 20)] * 12),))
    writer.start()
    ends.channel.next()
    while writer.is_alive() and len(ends.channel.waiting) < 8:
        ends.channel.look()
    for _ in range(11):
        ends.channel.next()
    writer.join()


def test_the_end_of_the_server_is_an_end_of_file(ends: Ends) -> None:
    ends.server.sendall(call(1))
    ends.server.close()
    ends.lender.close()
    ends.channel.look()
    ends.channel.look()
    assert ends.channel.next().id == 1
    with pytest.raises(EOFError):
        ends.channel.next()
    with pytest.raises(EOFError):
        ends.channel.receive_descriptor()


@pytest.mark.parametrize("size", [0, 10, 65_535, 65_536, 5_000_000])
def test_a_reply_of_any_size_arrives(ends: Ends, size: int) -> None:
    body, received = os.urandom(size), list[Frame]()
    request = Frame(Kind.CALL, 7, 3, 0, b"", b"")

    def read() -> None:
        decoder = Decoder(1 << 30)
        while not received:
            received.extend(decoder.feed(ends.server.recv(1 << 16)))

    reader = threading.Thread(target=read)
    reader.start()
    ends.channel.reply(request, Status.OK, b"times", body)
    reader.join()
    assert received == [Frame(Kind.REPLY, 7, 3, Status.OK, b"times", body)]


def test_descriptors_come_in_their_order(ends: Ends) -> None:
    pipes = [os.pipe() for _ in range(2)]
    for _, write in pipes:
        ends.lender.sendmsg([b"f"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [write]))])
    for number, (read, write) in enumerate(pipes):
        lent = ends.channel.receive_descriptor()
        assert not os.get_inheritable(lent)
        os.write(lent, b"%d" % number)
        assert os.read(read, 1) == b"%d" % number
        for each in (lent, read, write):
            os.close(each)


def test_a_message_without_a_descriptor_is_an_error(ends: Ends) -> None:
    ends.lender.sendall(b"f")
    with pytest.raises(OSError, match="none came"):
        ends.channel.receive_descriptor()


def test_a_forked_copy_cannot_speak_for_its_parent(ends: Ends) -> None:
    """User code may fork: the copy has no sockets, and ends where it would use them."""
    frame = Frame(Kind.CALL, 1, 1, 0, b"", b"")
    for use in (
        lambda: ends.channel.reply(frame, Status.OK, b"", b"from the copy"),
        lambda: ends.channel.send(b"from the copy"),
        ends.channel.next,
        ends.channel.receive_descriptor,
    ):
        copy = os.fork()
        if not copy:
            use()
            os._exit(9)
        assert os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1]) == 0
    ends.channel.reply(frame, Status.OK, b"", b"from the parent")
    (reply,) = Decoder(1 << 20).feed(ends.server.recv(1 << 16))
    assert reply.body == b"from the parent"


def test_a_channel_is_idle_when_no_part_of_a_frame_has_come(ends: Ends) -> None:
    assert ends.channel.idle()
    ends.server.sendall(call(1)[:5])
    assert not ends.channel.idle()
    ends.channel.look()
    assert not ends.channel.idle()
    ends.server.sendall(call(1)[5:] + call(2))
    assert ends.channel.next().id == 1
    assert not ends.channel.idle()
    assert ends.channel.next().id == 2
    assert ends.channel.idle()


def test_a_server_that_is_gone_ends_reading_and_writing_alike(ends: Ends) -> None:
    ends.server.close()
    with pytest.raises(Gone):
        ends.channel.next()
    with pytest.raises(Gone):
        ends.channel.send(b"x")


def test_a_frame_without_the_descriptor_that_it_announced_is_an_error(ends: Ends) -> None:
    ends.lender.sendall(b"x")
    with pytest.raises(OSError, match="none came"):
        ends.channel.receive_descriptor()
