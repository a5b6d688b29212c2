"""A server on a real socket that does with one request after the other what a list says."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable

HEAD = "HTTP/1.1 {} Said\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{}\r\n"
Act = Callable[
    [socket.socket], bool
]  #: what to do with a request that was read; whether the connection lives on


def answer(value: object, *, status: int = 200, headers: str = "", stays: bool = True) -> Act:
    body = json.dumps(value).encode()

    def act(peer: socket.socket) -> bool:
        peer.sendall(HEAD.format(status, len(body), headers).encode() + body)
        return stays

    return act


def vanish(peer: socket.socket) -> bool:
    """The process is killed: whatever was on its way is lost, and the caller's next byte is refused."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    return False


def close(_: socket.socket) -> bool:
    """The connection is closed in an orderly way, and the request unanswered."""
    return False


def half(peer: socket.socket) -> bool:
    """It ends in the middle of an answer."""
    peer.sendall(HEAD.format(200, 1000, "").encode() + b'{"success": tr')
    return False


class Scripted:
    """A server that does with one request after the other what a list says."""

    def __init__(self) -> None:
        self.acts: list[Act] = []
        self.asked: list[str] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._address = self._socket.getsockname()
        self.url = f"http://127.0.0.1:{self._address[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        with peer, peer.makefile("rb") as stream:
            while line := stream.readline().decode():
                length = 0
                while (header := stream.readline().decode().strip().lower()) != "":
                    if header.startswith("content-length:"):
                        length = int(header.split(":")[1])
                stream.read(length)
                self.asked.append(" ".join(line.split()[:2]))
                if not self.acts.pop(0)(peer):
                    return

    def start_again(self) -> None:
        self._socket = socket.create_server(self._address)
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)  # closing alone would not wake the thread that accepts
        self._socket.close()


LOGIN = answer({"access_token": "a", "refresh_token": "r", "expires_on": 1900000000})
AREA = answer({"success": True, "outputParameters": {"area": 9.0}, "outputFiles": {}, "changedFiles": []})
