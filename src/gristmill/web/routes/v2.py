"""The Open Inference Protocol (V2) beside inference itself: health, and what the models are."""

from __future__ import annotations

from pydantic import BaseModel
from starlette.responses import Response

from gristmill import __version__
from gristmill.identity import Permission
from gristmill.realtime import v2_metadata
from gristmill.services import Runtime
from gristmill.web import render
from gristmill.web.context import Context
from gristmill.web.endpoints import Ctx, Table
from gristmill.web.routes.status import welcome
from gristmill.web.v2 import find_model

__all__ = ["table"]

table = Table("Open Inference Protocol")


class ServerMetadata(BaseModel):
    """What the server is."""

    name: str
    version: str
    extensions: list[str]


class TensorMetadata(BaseModel):
    """An input or output; -1 stands for the number of rows."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(BaseModel):
    """What a realtime service takes and gives."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ModelReady(BaseModel):
    """That a model is loaded."""

    name: str
    ready: bool


class ModelState(BaseModel):
    """A version in the index."""

    name: str
    version: str
    state: str
    reason: str


@table.add(
    "GET",
    "/v2",
    allow=Permission.SERVICES_READ,
    operation_id="v2Server",
    summary="What the server is",
    answer=ServerMetadata,
)
async def server() -> Response:
    """Its name, its version, and the extensions of the protocol that it has."""
    extensions = ["binary_tensor_data", "model_repository"]
    return render.json(ServerMetadata(name="gristmill", version=__version__, extensions=extensions))


@table.add(
    "GET",
    "/v2/health/live",
    allow="public",
    operation_id="v2Live",
    summary="Whether the process answers",
    answer=dict[str, bool],
)
async def live() -> Response:
    """As `/health/live`."""
    return render.json({"live": True})


@table.add(
    "GET",
    "/v2/health/ready",
    allow="public",
    operation_id="v2Ready",
    summary="Whether requests are welcome",
    answer=dict[str, bool],
)
async def ready(context: Ctx) -> Response:
    """As `/health/ready`."""
    welcome(context)
    return render.json({"ready": True})


@table.add(
    "POST",
    "/v2/repository/index",
    allow=Permission.SERVICES_READ,
    operation_id="v2Index",
    summary="List the realtime services",
    answer=list[ModelState],
)
async def index(context: Ctx) -> Response:
    """Every version of each; what the body says is let pass."""
    found = [s for s in await context.registry.listed() if s.runtime is Runtime.REALTIME]
    return render.json([ModelState(name=s.name, version=s.version, state="READY", reason="") for s in found])


@table.add(
    "GET",
    "/v2/models/{name}",
    allow=Permission.SERVICES_READ,
    operation_id="v2NewestModel",
    summary="Tensors of the newest version of a model",
    answer=ModelMetadata,
)
async def newest_model(context: Ctx, name: str) -> Response:
    """A tensor for each column."""
    return await _metadata(context, name, None)


@table.add(
    "GET",
    "/v2/models/{name}/versions/{version}",
    allow=Permission.SERVICES_READ,
    operation_id="v2Model",
    summary="Tensors of a version of a model",
    answer=ModelMetadata,
)
async def model(context: Ctx, name: str, version: str) -> Response:
    """A tensor for each column."""
    return await _metadata(context, name, version)


@table.add(
    "GET",
    "/v2/models/{name}/ready",
    allow=Permission.SERVICES_READ,
    operation_id="v2NewestModelReady",
    summary="Whether the newest version of a model can score",
    answer=ModelReady,
)
async def newest_model_ready(context: Ctx, name: str) -> Response:
    """It is loaded if it was not."""
    return await _ready(context, name, None)


@table.add(
    "GET",
    "/v2/models/{name}/versions/{version}/ready",
    allow=Permission.SERVICES_READ,
    operation_id="v2ModelReady",
    summary="Whether a version of a model can score",
    answer=ModelReady,
)
async def model_ready(context: Ctx, name: str, version: str) -> Response:
    """It is loaded if it was not."""
    return await _ready(context, name, version)


async def _metadata(context: Context, name: str, version: str | None) -> Response:
    known = await context.registry.listed(name)
    service = await find_model(context.registry, name, version)
    description = (await context.realtime.model(service)).description
    versions = [s for s in known if s.runtime is Runtime.REALTIME]
    return render.json(
        {
            "name": name,
            "versions": [each.version for each in versions],
            "platform": "onnxruntime_onnx",
            "inputs": v2_metadata.inputs(description),
            "outputs": v2_metadata.outputs(description),
        }
    )


async def _ready(context: Context, name: str, version: str | None) -> Response:
    await context.registry.listed(name)
    await context.realtime.prepare(await find_model(context.registry, name, version))
    return render.json({"name": name, "ready": True})
