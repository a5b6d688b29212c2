"""The names of `azureml-model-management-sdk`, for scripts that were written for ML Server.

Change the import, and nothing else:

    from gristmill.compat import DeployClient, MLServer

    client = DeployClient("http://127.0.0.1:12800", use=MLServer, auth=("admin", "…"))
    service = client.service("area").version("1.0").code_fn(area).inputs(r=float).outputs(a=float).deploy()
    service.area(2.0).output("a")

What differs stands in docs/howto/migrate-from-ml-server.md. Errors are those of `gristmill.client.errors`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from gristmill.client.api import LATEST
from gristmill.client.connecting import connect
from gristmill.client.decoding import decode
from gristmill.client.description import Description
from gristmill.client.driving import run
from gristmill.client.errors import InvalidInput, NotSupported
from gristmill.client.fluent import RealtimeDefinition, ServiceDefinition
from gristmill.client.services import AsyncService, Described, with_alias
from gristmill.client.types import told
from gristmill.compat_batch import Batch, records_of
from gristmill.schema import Parameter, ParameterType

__all__ = ["DeployClient", "MLServer", "Service", "ServiceResponse"]

#: The types' names as they were told in `capabilities()`.
_NAMES = {
    ParameterType.LOGICAL: "bool",
    ParameterType.INTEGER: "int",
    ParameterType.NUMERIC: "float",
    ParameterType.CHARACTER: "str",
    ParameterType.VECTOR: "numpy.array",
    ParameterType.MATRIX: "numpy.matrix",
    ParameterType.DATA_FRAME: "pandas.DataFrame",
}
#: Scalars were converted by these before they were sent.
_CASTS: dict[ParameterType, Callable[[Any], Any]] = {
    ParameterType.LOGICAL: bool,
    ParameterType.INTEGER: int,
    ParameterType.NUMERIC: float,
}


class MLServer:
    """A server that one is logged in to, with the methods that the class of this name had."""

    def __init__(self, host: str, auth: Any = None) -> None:
        if isinstance(auth, dict):
            raise NotSupported(
                "a dictionary for Azure Active Directory is not understood: get an access token from your "
                "identity provider and pass it as auth=token"
            )
        if isinstance(auth, tuple):
            self._client = connect(host, username=auth[0], password=auth[1])
        else:
            self._client = connect(host, token=auth)

    def service(self, name: str) -> ServiceDefinition:
        """Begin the definition of a service; it ends with `deploy()`."""
        return ServiceDefinition(name, self)

    def realtime_service(self, name: str) -> RealtimeDefinition:
        """Begin the definition of a realtime service; it ends with `deploy()`."""
        return RealtimeDefinition(name, self)

    def get_service(self, name: str, *, version: str | None = None) -> Service:
        """A version to call, the latest unless one is named. Raises NotFound."""
        return Service(self._client.service(name, version or LATEST)._inner)

    def list_services(self, name: str | None = None, *, version: str | None = None) -> list[dict[str, Any]]:
        """Metadata of all services, of the versions of one, or of one version, as the server has it."""
        if name is not None and version is not None:
            return [dict(self._client.service(name, version).details.raw)]
        return [dict(each.raw) for each in self._client.services(name)]

    def delete_service(self, name: str, *, version: str | None = None) -> bool:
        """Delete a version; true, or an error."""
        if version is None:
            raise InvalidInput(f"{name}: say which version to delete")
        self._client.delete(name, version)
        return True

    def deploy_service(self, name: str, **opts: Any) -> Service:
        """Publish a service; the options have the names of the definition's methods."""
        version = opts.pop("version", None)
        return Service(self._client.publish(name, version=version, **_renamed(name, opts, new=True))._inner)

    def redeploy_service(self, name: str, *, force: bool = False, **opts: Any) -> Service:
        """Change what is given of a version, the latest unless one is named."""
        version = opts.pop("version", None) or LATEST
        return Service(self._client.redeploy(name, version=version, **_renamed(name, opts, new=False))._inner)

    def deploy_realtime(self, name: str, **opts: Any) -> Service:
        """Publish a realtime service: `serialized_model`, `version`, `description`, `alias`."""
        version = opts.pop("version", None)
        return Service(self._client.publish_realtime(name, version=version, **_model_of(name, opts))._inner)

    def redeploy_realtime(self, name: str, *, force: bool = False, **opts: Any) -> Service:
        """Change a realtime service; its `version` has to be named."""
        if not opts.get("version"):
            raise InvalidInput(f"{name}: say which version to redeploy")
        version = opts.pop("version")
        return Service(self._client.redeploy_realtime(name, version=version, **_model_of(name, opts))._inner)


class DeployClient(MLServer):
    """What scripts make: `DeployClient(host, use=MLServer, auth=(username, password))`."""

    def __init__(self, host: str, auth: Any = None, use: Any = MLServer) -> None:
        name = use if isinstance(use, str) else getattr(use, "__name__", "")
        if name.rpartition(".")[2] != "MLServer":
            raise InvalidInput(f"use={use!r} is not supported; leave it out, or say use=MLServer")
        super().__init__(host, auth)


class Service(Described):
    """A service to call by its alias; the answer is a `ServiceResponse`."""

    def __new__(cls, inner: AsyncService) -> Service:
        """Of a class of its own, which has the alias as a method."""
        return object.__new__(with_alias(cls, inner.details, "ServiceResponse"))

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Callable[..., ServiceResponse]:
            """The alias, for type checkers."""

    def __init__(self, inner: AsyncService) -> None:
        self._inner = inner
        self._description = inner.details

    def call(self, *args: Any, **kwargs: Any) -> ServiceResponse:
        """Call the service."""
        declared = dict(zip((each.name for each in self.inputs), args)) if args else {}
        given = {**declared, **kwargs} if len(args) <= len(self.inputs) else None
        if given is None:  # too many: let the client say so
            return ServiceResponse(self._description, run(self._inner.call(*args, **kwargs)).raw)
        return ServiceResponse(self._description, run(self._inner.call(**self._cast(given))).raw)

    def batch(self, records: Any, parallel_count: int = 10) -> Batch:
        """A batch, of a frame's rows or of a list with the inputs of each item; `start()` hands it over."""
        items = [self._cast(record) for record in records_of(records)]
        return Batch(self._inner.batch(items, parallel_count=parallel_count), self._answer)

    def get_batch(self, execution_id: str) -> Batch:
        """A batch that was started before."""
        return Batch(self._inner.get_batch(execution_id), self._answer)

    def list_batch_executions(self) -> list[str]:
        """Ids of one's own batches of this service."""
        return run(self._inner.batches())

    def _answer(self, raw: Any) -> ServiceResponse:
        return ServiceResponse(self._description, raw)

    def _cast(self, given: Mapping[str, Any]) -> dict[str, Any]:
        types = {each.name: each.type for each in self.inputs}
        return {name: _cast(self.name, name, types.get(name), value) for name, value in given.items()}

    def swagger(self) -> str:
        """The service's Swagger document, as text."""
        return json.dumps(run(self._inner.swagger()))

    def capabilities(self) -> dict[str, Any]:
        """What the service is and takes."""
        about = self._description
        found = self._inner.capabilities()
        return {
            **{key: found[key] for key in ("api", "name", "version", "published_by", "runtime")},
            **{key: found[key] for key in ("description", "creation_time", "inputs", "outputs")},
            "snapshot_id": about.raw.get("snapshotId"),
            "inputs_encoded": _encoded(about.inputs),
            "outputs_encoded": _encoded(about.outputs),
            "artifacts": list(about.artifacts),
            "operation_id": about.alias,
            "swagger": found["swagger"],
            "public-functions": {
                about.alias: f"{about.alias}({', '.join(['self', *(each.name for each in about.inputs)])})",
                "capabilities": "capabilities()",
                "swagger": "swagger(json=True)",
            },
        }


class ServiceResponse:
    """The answer of a service. Code that failed is no exception: `error` tells, and the outputs are None."""

    def __init__(self, about: Description, raw: Any) -> None:
        self.api = about.path
        self.error: str = raw.get("errorMessage") or ""
        self.console_output: str = raw.get("consoleOutput") or ""
        self.raw_outputs: dict[str, Any] = raw.get("outputParameters") or {}
        self.artifacts: dict[str, Any] = raw.get("outputFiles") or {}
        self.outputs = {each.name: _output(each, self.raw_outputs.get(each.name)) for each in about.outputs}

    def output(self, output: str) -> Any:
        """The value of an output, or None."""
        return self.outputs.get(output)

    def artifact(self, artifact_name: str, decode: bool = True, encoding: str | None = None) -> Any:
        """A file: its bytes, its text if an encoding is named, or, with `decode=False`, its base64."""
        content = self.artifacts.get(artifact_name)
        if content is None or not decode:
            return content
        data = base64.b64decode(content)
        return data if encoding is None else data.decode(encoding)

    def __repr__(self) -> str:
        names = ("api", "error", "console_output", "outputs")
        return "<ServiceResponse>" + "".join(f"\n   {name}: {getattr(self, name)}" for name in names)


def _renamed(name: str, opts: dict[str, Any], *, new: bool) -> dict[str, Any]:
    """Options of the old client as `publish` and `redeploy` call them."""
    shared = ("models", "objects", "inputs", "outputs", "artifacts", "alias", "description")
    texts = ("code_str", "init_str", "code_fn", "init_fn")
    unknown = sorted(opts.keys() - {*shared, *texts})
    if unknown:
        raise InvalidInput(
            f"{name}: there is no option {unknown[0]!r}; there are: {', '.join(shared + texts)}"
        )
    code, init = opts.get("code_str"), opts.get("init_str")
    if code is None:
        code, init = opts.get("code_fn"), opts.get("init_fn")
    made = {key: opts[key] for key in shared if opts.get(key) is not None}
    made.update(code=code, init=init)
    if new:
        if code is None:
            raise InvalidInput(f"{name}: give the code, as code_fn or as code_str")
        made.setdefault("outputs", {})
    # A text ran as it was, whatever it found; a function's source is looked through.
    return {**made, "check": not isinstance(code, str)}


def _model_of(name: str, opts: dict[str, Any]) -> dict[str, Any]:
    """Options of a realtime service as `publish_realtime` takes them."""
    model = opts.get("serialized_model")
    if not isinstance(model, bytes) or model[:4] != b"blob":
        raise InvalidInput(
            f"{name}: expected a serialized model (bytes that begin with b'blob'), got {told(model)}"
        )
    return {"model": model, "description": opts.get("description"), "alias": opts.get("alias")}


def _cast(service: str, name: str, type_: ParameterType | None, value: Any) -> Any:
    if value is None or type_ not in _CASTS:
        return value
    try:
        return _CASTS[type_](value)
    except (TypeError, ValueError):
        raise InvalidInput(
            f"{service}: input {name!r}: expected {_NAMES[type_]}, got {told(value)}"
        ) from None


def _output(parameter: Parameter, value: Any) -> Any:
    made = decode(parameter.type, value)
    if parameter.type is ParameterType.MATRIX and hasattr(made, "ndim"):
        import numpy

        return made.view(numpy.matrix)  # its constructor warns of itself
    return made


def _encoded(parameters: tuple[Parameter, ...]) -> list[dict[str, str]]:
    return [{"name": each.name, "type": _NAMES[each.type]} for each in parameters]
