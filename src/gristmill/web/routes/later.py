"""Operations of the protocol that this server does not carry out yet: 501, once the caller is known."""

from __future__ import annotations

from starlette.responses import Response

from gristmill.errors import NotSupported
from gristmill.identity import Permission
from gristmill.web.endpoints import Handler, Table

__all__ = ["table"]

table = Table("Not available yet")

_NODES = Permission.NODES_MANAGE

_LATER: tuple[tuple[str, str, Permission, str, str, int], ...] = (
    ("GET", "/computenodes", _NODES, "getComputeNodes", "Lists of compute nodes", 200),
    ("POST", "/computenodes", _NODES, "setComputeNodes", "Lists of compute nodes", 200),
    ("PUT", "/computenodes", _NODES, "addComputeNode", "Lists of compute nodes", 200),
    ("DELETE", "/computenodes", _NODES, "removeComputeNode", "Lists of compute nodes", 200),
)


def _refuses(what: str) -> Handler:
    async def handler() -> Response:
        raise NotSupported(
            f"{what} are part of the protocol, and this version of the server does not have them"
        )

    return handler


for _method, _path, _allow, _operation, _what, _status in _LATER:
    table.add(
        _method, _path, allow=_allow, operation_id=_operation, summary=f"{_what} (501)", status=_status
    )(_refuses(_what))
