"""Bodies of the core API, as they are read and as they are shown in the OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, RootModel
from pydantic.alias_generators import to_camel

__all__ = [
    "BatchArrivals",
    "BatchInputs",
    "BatchProgress",
    "BatchStarted",
    "BatchStatus",
    "ConsoleOutput",
    "CreateSessionRequest",
    "CreateSessionResponse",
    "CreateSnapshotRequest",
    "CreateSnapshotResponse",
    "Error",
    "ExecuteRequest",
    "ExecuteResponse",
    "LoginRequest",
    "ParameterDefinition",
    "PatchRequest",
    "PoolRequest",
    "PoolState",
    "PublishRequest",
    "RenewTokenRequest",
    "ScoringResult",
    "SessionInfo",
    "SnapshotInfo",
    "Status",
    "Tokens",
    "WebService",
]


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not contain the NUL character")
    return text


def _as_list(value: Any) -> Any:
    """A list as R's JSON writers may send it: `{}` for an empty one, the bare element for one of length 1."""
    if value == {}:
        return []
    return [value] if isinstance(value, (str, dict)) else value


Text = Annotated[str, AfterValidator(_without_nul)]
RuntimeName = Literal["R", "Python"]
TypeName = Literal["logical", "integer", "numeric", "character", "vector", "matrix", "data.frame"]


class _Body(BaseModel):
    """Camel case outside, snake case inside; no conversion between types; unknown keys are let pass."""

    model_config = ConfigDict(
        alias_generator=to_camel, validate_by_name=True, strict=True, extra="ignore", frozen=True
    )


class Error(_Body):
    """Every answer that is not a success."""

    message: str
    link: str
    exception_type: str


class LoginRequest(_Body):
    """Credentials of a local account."""

    username: Text
    password: Text


class RenewTokenRequest(_Body):
    """A refresh token that has not been used yet."""

    refresh_token: Text


class Tokens(BaseModel):
    """A pair of tokens; clients rely on the order of the fields, and on `expires_on` being text."""

    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105  # the word of the protocol
    access_token: str
    expires_in: int = Field(description="Seconds for which the access token holds.")
    expires_on: str = Field(description="Seconds since 1970, as text.")
    refresh_token: str


class ParameterDefinition(_Body):
    """One input or output. `columns` and `form` are for a data.frame."""

    name: Text
    type: TypeName
    columns: Annotated[list[Text] | None, BeforeValidator(_as_list)] = Field(
        default=None, description="The columns that a data.frame must have, in the order that code sees."
    )
    form: Literal["frame", "array"] | None = Field(
        default=None, description="Whether Python code gets a pandas frame, or an array of floats."
    )


Definitions = Annotated[list[ParameterDefinition] | None, BeforeValidator(_as_list)]


class PatchRequest(_Body):
    """What is to change of a service version; a field left out or null stays, an empty list clears."""

    code: Text | None = None
    init_code: Text | None = None
    snapshot_id: Text | None = None
    runtime_type: RuntimeName | None = None
    description: Text | None = None
    operation_id: Text | None = None
    input_parameter_definitions: Definitions = None
    output_parameter_definitions: Definitions = None
    output_file_names: Annotated[list[Text] | None, BeforeValidator(_as_list)] = None
    batchable: bool | None = Field(
        default=None, description="Rows do not depend on each other: calls that wait may run as one."
    )


class PublishRequest(PatchRequest):
    """A new service version. Only `code` is needed; `runtimeType` is R unless given."""

    code: Text


class PoolRequest(BaseModel):
    """Shells of a service's own; with a maximum of 0, or none given, the server chooses it."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)

    initial: int = Field(0, alias="InitialPoolSize", ge=0, le=256)
    maximum: int = Field(0, alias="MaxPoolSize", ge=0, le=256)


class PoolState(BaseModel):
    """How a service's pool stands on one node."""

    ComputeNodeEndpoint: str
    Status: Literal["Success", "Pending", "NotFound"]


class WebService(_Body):
    """A published version. Every field is always there."""

    name: str
    version: str
    version_published_by: str
    creation_time: str
    snapshot_id: str | None
    runtime_type: Literal["R", "Python", "Realtime"]
    init_code: str = Field(description="Empty for who may not change the service.")
    code: str = Field(description="Empty for who may not change the service.")
    description: str
    operation_id: str | None
    input_parameter_definitions: list[dict[str, Any]]
    output_parameter_definitions: list[dict[str, Any]]
    output_file_names: list[str]
    my_permission_on_service: Literal["read/write", "read only"]
    batchable: bool


class ScoringResult(_Body):
    """The answer of a service."""

    success: bool = Field(description="False where the service's own code failed.")
    error_message: str
    output_parameters: dict[str, Any]
    output_files: dict[str, str | None] = Field(description="Content in base64 by name.")
    console_output: str
    changed_files: list[str]


class CreateSessionRequest(_Body):
    """What kind of session to start; all of it may be left out."""

    name: Text | None = None
    snapshot_id: Text | None = None
    runtime_type: RuntimeName | None = None


class CreateSessionResponse(_Body):
    """Names the new session."""

    session_id: str


class SessionInfo(_Body):
    """A live session."""

    id: str
    name: str
    owner: str
    runtime_type: RuntimeName


class WorkspaceObject(_Body):
    """A variable and its value as JSON."""

    name: str
    value: Any


class ExecuteRequest(_Body):
    """Code to run in a session, variables to set before, and variables to return after."""

    code: str
    input_parameters: list[WorkspaceObject] | None = None
    output_parameters: list[str] | None = None


class ExecuteResponse(_Body):
    """What came of it."""

    success: bool
    error_message: str
    output_parameters: list[WorkspaceObject]
    console_output: str
    changed_files: list[str]


class ConsoleOutput(_Body):
    """What the running, or the last, execution printed."""

    console_output: str


class CreateSnapshotRequest(_Body):
    """A name for the snapshot, if wanted."""

    name: Text | None = None


class CreateSnapshotResponse(_Body):
    """Names the new snapshot."""

    snapshot_id: str


class SnapshotInfo(_Body):
    """A stored snapshot."""

    id: str
    name: str
    owner: str
    creation_time: str
    content_size: int = Field(description="Bytes of the zip.")


class Status(_Body):
    """Health of the system or of a part of it."""

    status_code: Literal["pass", "warn", "fail"]
    details: dict[str, Any]
    components: dict[str, Any] = Field(description="The parts, each described like the whole.")


class BatchInputs(RootModel[list[dict[str, Any]]]):
    """The inputs of each item, by name."""


class BatchStarted(_Body):
    """Names the new batch, in both spellings that clients read."""

    name: str
    version: str
    batch_execution_id: str
    BatchExecutionId: str = Field(alias="BatchExecutionId")


class BatchProgress(_Body):
    """How far a batch is."""

    state: Literal["Pending", "Ready", "InProgress", "Complete", "Failed", "Cancelled"]
    completed_item_count: int
    failed_item_count: int = Field(description="Those of the completed whose `success` is false.")
    total_item_count: int
    message: str = Field(description="Why the state is Failed; empty otherwise.")


class BatchItemResult(ScoringResult):
    """What one item came to."""

    index: int


class BatchStatus(BatchProgress):
    """How far a batch is, and its results in the order of the inputs."""

    batch_execution_results: list[BatchItemResult]


class BatchArrivals(BatchStatus):
    """How far a batch is, and results in the order in which they came in."""

    next: int = Field(description="Send this as `after` to read on.")
