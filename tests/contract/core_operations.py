"""The core operations of the protocol's version 9.3.0: what is asked of each, and a call that shows it.

`fields` are the keys of the answer, or of the elements of the answer where it is a list.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.realtime_models import model_file

PAIR = ("token_type", "access_token", "expires_on", "refresh_token")
WEB_SERVICE = (
    "name",
    "version",
    "versionPublishedBy",
    "creationTime",
    "snapshotId",
    "runtimeType",
    "initCode",
    "code",
    "description",
    "operationId",
    "inputParameterDefinitions",
    "outputParameterDefinitions",
    "outputFileNames",
    "myPermissionOnService",
)
SESSION = ("id", "name", "owner", "runtimeType")
SNAPSHOT = ("id", "name", "owner", "creationTime", "contentSize")
EXECUTION = ("success", "errorMessage", "outputParameters", "consoleOutput", "changedFiles")
CODE = {"code": "x <- 1"}
FORM = {"file": ("x.csv", b"a\n1\n")}
MODEL = {"model": ("model.blob", model_file())}


@dataclass(frozen=True, kw_only=True)
class Operation:
    """`path` as the protocol has it, `call` with names filled in."""

    id: str
    method: str
    path: str
    success: int
    call: str
    json: Any = None
    content: bytes | None = None
    files: Any = None
    kind: type | None = str  #: of the JSON in the answer; None for a file
    fields: tuple[str, ...] = ()
    later: bool = False  #: not carried out yet: 501


def _op(id: str, method: str, path: str, call: str, success: int = 200, **more: Any) -> Operation:
    return Operation(id=id, method=method, path=path, success=success, call=call, **more)


def _later(id: str, method: str, path: str, success: int = 200) -> Operation:
    call = path.replace("{name}", "bos-rf").replace("{version}", "1.0.0")
    return Operation(id=id, method=method, path=path, success=success, call=call, later=True)


_RENEW = {"refreshToken": "refresh-1"}
_LOGIN = {"username": "admin", "password": "right"}
_VERSION = "/services/{name}/{version}"
_REALTIME, _RT_VERSION = "/realtime-services/{name}", "/realtime-services/{name}/{version}"
_RT, _NEW_RT = "/realtime-services/bos-rt/1.0.0", "/realtime-services/new"
_POOL, _S_POOL = _VERSION + "/pool", "/services/bos-rf/1.0.0/pool"
_S1 = "/sessions/s1"
_ID = "/sessions/{id}"

OPERATIONS = (
    _op("login", "POST", "/login", "/login", json=_LOGIN, kind=dict, fields=PAIR),
    _op(
        "renewToken",
        "POST",
        "/login/refreshToken",
        "/login/refreshToken",
        json=_RENEW,
        kind=dict,
        fields=PAIR,
    ),
    _op(
        "revokeRefreshToken", "DELETE", "/login/refreshToken", "/login/refreshToken?refreshToken=x", kind=dict
    ),
    _op("getAllWebServices", "GET", "/services", "/services", kind=list, fields=WEB_SERVICE),
    _op("publishWebService", "POST", "/services/{name}", "/services/new", 201, json=CODE),
    _op(
        "getAllWebServiceVersionsByName",
        "GET",
        "/services/{name}",
        "/services/bos-rf",
        kind=list,
        fields=WEB_SERVICE,
    ),
    _op("publishRealtimeWebServiceByName", "POST", _REALTIME, _NEW_RT, 201, files=MODEL),
    _op("publishWebServiceVersion", "POST", _VERSION, "/services/new/1", 201, json=CODE),
    _op("patchWebServiceVersion", "PATCH", _VERSION, "/services/bos-rf/1.0.0", json={"description": "new"}),
    _op("getWebServiceVersion", "GET", _VERSION, "/services/bos-rf/1.0.0", kind=list, fields=WEB_SERVICE),
    _op("deleteWebServiceVersion", "DELETE", _VERSION, "/services/bos-rf/1.0.0"),
    _op("publishRealtimeWebServiceByNameVersion", "POST", _RT_VERSION, _NEW_RT + "/1", 201, files=MODEL),
    _op(
        "patchRealtimeWebServiceByNameVersion",
        "PATCH",
        _RT_VERSION,
        _RT,
        files={"description": (None, "new")},
    ),
    _op("createOrUpdateServicePool", "POST", _POOL, _S_POOL, json={"InitialPoolSize": 1, "MaxPoolSize": 2}),
    _op("deleteServicePool", "DELETE", _POOL, _S_POOL),
    _op("getServicePoolStatus", "GET", _POOL, _S_POOL, kind=list, fields=("ComputeNodeEndpoint", "Status")),
    _op(
        "GetWebServiceSwagger",
        "GET",
        "/api/{name}/{version}/swagger.json",
        "/api/bos-rf/1.0.0/swagger.json",
        kind=dict,
        fields=("swagger", "info", "paths", "definitions"),
    ),
    _op("createSession", "POST", "/sessions", "/sessions", 201, json={}, kind=dict, fields=("sessionId",)),
    _op("listSessions", "GET", "/sessions", "/sessions", kind=list, fields=SESSION),
    _op("executeCode", "POST", _ID + "/execute", _S1 + "/execute", json=CODE, kind=dict, fields=EXECUTION),
    _op("closeSession", "DELETE", _ID, _S1),
    _op("closeSessionByForce", "DELETE", _ID + "/force", _S1 + "/force"),
    _op(
        "getSessionConsoleOutput",
        "GET",
        _ID + "/console-output",
        _S1 + "/console-output",
        kind=dict,
        fields=("consoleOutput",),
    ),
    _op("listSessionHistory", "GET", _ID + "/history", _S1 + "/history", kind=list),
    _op("uploadSessionFile", "POST", _ID + "/files", _S1 + "/files", 201, files=FORM),
    _op("listSessionFiles", "GET", _ID + "/files", _S1 + "/files", kind=list),
    _op("getSessionFile", "GET", _ID + "/files/{fileName}", _S1 + "/files/a.txt", kind=None),
    _op("deleteSessionFile", "DELETE", _ID + "/files/{fileName}", _S1 + "/files/a.txt"),
    _op("listWorkspaceObjects", "GET", _ID + "/workspace", _S1 + "/workspace", kind=list),
    _op("setWorkspaceObject", "POST", _ID + "/workspace/{objectName}", _S1 + "/workspace/y", content=b"1"),
    _op("getWorkspaceObject", "GET", _ID + "/workspace/{objectName}", _S1 + "/workspace/x", kind=None),
    _op("deleteWorkspaceObject", "DELETE", _ID + "/workspace/{objectName}", _S1 + "/workspace/x"),
    _op(
        "CreateSnapshot",
        "POST",
        _ID + "/snapshot",
        _S1 + "/snapshot",
        201,
        json={"name": "now"},
        kind=dict,
        fields=("snapshotId",),
    ),
    _op("LoadSnapshot", "POST", _ID + "/loadsnapshot/{snapshotId}", _S1 + "/loadsnapshot/snap-1"),
    _op("cancelSession", "POST", _ID + "/cancel", _S1 + "/cancel"),
    _op("ListSnapshots", "GET", "/snapshots", "/snapshots", kind=list, fields=SNAPSHOT),
    _op("GetSnapshotContent", "GET", "/snapshots/{id}", "/snapshots/snap-1", kind=None),
    _op("DeleteSnapshot", "DELETE", "/snapshots/{id}", "/snapshots/snap-1"),
    _op(
        "status",
        "GET",
        "/status",
        "/status",
        kind=dict,
        fields=("statusCode", "details", "components"),
    ),
    _later("getComputeNodes", "GET", "/computenodes"),
    _later("setComputeNodes", "POST", "/computenodes"),
    _later("addComputeNode", "PUT", "/computenodes"),
    _later("removeComputeNode", "DELETE", "/computenodes"),
)
