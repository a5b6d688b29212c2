"""A call of the Open Inference Protocol: its tensors as rows of a model, and the answer's as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from gristmill.errors import InvalidInput
from gristmill.realtime.arrays import check_cells
from gristmill.realtime.description import Output
from gristmill.realtime.tensors import from_binary, from_json, to_binary
from gristmill.realtime.v2_metadata import output_datatype

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gristmill.realtime.model import Model
    from gristmill.realtime.rows import Rows

__all__ = ["Inference"]

_Parameters = dict[str, Any]


class _Tensor(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    parameters: _Parameters | None = None
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Wanted(msgspec.Struct):
    name: str
    parameters: _Parameters | None = None


class _Request(msgspec.Struct):
    inputs: list[_Tensor]
    id: str | None = None
    parameters: _Parameters | None = None
    outputs: list[_Wanted] | None = None


_decoder = msgspec.json.Decoder(_Request)


class Inference:
    """One call: called, it gives the rows for a model; then `encode` the answer. Of `name` and `version`."""

    def __init__(self, body: bytes, json_length: bytes | None, name: str, version: str) -> None:
        """Of a body, with `json_length` as its header has it; the call reads it. Raises InvalidInput."""
        if json_length is None:
            text, self._binary = body, memoryview(b"")
        else:
            length = int(json_length) if json_length.isdigit() and len(json_length) < 19 else -1
            if not 0 < length <= len(body):
                raise InvalidInput(
                    "the header Inference-Header-Content-Length has to be the length of the JSON in the body"
                )
            text, self._binary = body[:length], memoryview(body)[length:]
        self._text = text
        self._sent_length = json_length
        self._service = (name, version)
        self._outputs: list[tuple[int, Output, bool]] = []
        self.json_length: int | None = None  #: of the answer, where binary tensors follow; set by `encode`

    def form(self) -> dict[str, Any]:
        """What it is made of in another process, beside its body."""
        length = None if self._sent_length is None else self._sent_length.decode()
        name, version = self._service
        return {"form": "v2", "jsonLength": length, "name": name, "version": version}

    def told(self, said: dict[str, Any]) -> None:
        """What `encode` found there."""
        self.json_length = said["jsonLength"]

    def __call__(self, model: Model) -> Rows:
        """The rows that were sent. Raises InvalidInput that names the tensor or the column."""
        try:
            self._request = _decoder.decode(self._text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidInput(f"the body is no inference request: {error}") from None
        self._outputs = self._wanted(model.description.outputs)
        arrays = self._arrays()
        names = [column.name for column in model.description.columns]
        if len(arrays) == 1:
            ((name, array),) = arrays.items()
            if array.ndim == 2 and (name not in names or array.shape[1] != 1):
                return self._matrix(model, name, array)
        columns = {name: _column(name, array) for name, array in arrays.items()}
        return model.reader.of_arrays(columns)

    def _matrix(self, model: Model, name: str, array: NDArray[Any]) -> Rows:
        columns = model.description.columns
        texts = [column.name for column in columns if column.type in {"character", "factor"}]
        if texts:
            raise InvalidInput(
                f"column {texts[0]!r} of the model holds texts: send one tensor for each column, by its name"
            )
        if array.dtype.kind == "O" or array.shape[1] != len(columns):
            raise InvalidInput(
                f"tensor {name[:60]!r}: the shape {list(array.shape)} of a single tensor has to be "
                f"[rows, {len(columns)}], numbers in the order of the model's columns"
            )
        return model.reader.of_matrix(array)

    def _arrays(self) -> dict[str, NDArray[Any]]:
        """Each input, [rows] or [rows, k]."""
        found: dict[str, NDArray[Any]] = {}
        place = 0
        for tensor in self._request.inputs:
            if tensor.name in found:
                raise InvalidInput(f"tensor {tensor.name[:60]!r} came twice")
            _check_shape(tensor, len(self._request.inputs))
            size = (tensor.parameters or {}).get("binary_data_size")
            if size is None:
                if tensor.data is msgspec.UNSET:
                    raise InvalidInput(f"tensor {tensor.name[:60]!r} has neither data nor binary_data_size")
                data = bytes(tensor.data)
                found[tensor.name] = from_json(tensor.name, tensor.datatype, tensor.shape, data)
                continue
            if type(size) is not int or not 0 <= size <= len(self._binary) - place:
                raise InvalidInput(
                    f"tensor {tensor.name[:60]!r}: binary_data_size is not a number of bytes that came"
                )
            part = self._binary[place : place + size]
            found[tensor.name] = from_binary(tensor.name, tensor.datatype, tensor.shape, part)
            place += size
        if place != len(self._binary):
            raise InvalidInput(f"{len(self._binary) - place} bytes of the body belong to no tensor")
        return found

    def _wanted(self, outputs: Sequence[Output]) -> list[tuple[int, Output, bool]]:
        """Place, output and whether it is to be binary, in the order of the answer."""
        usual = (self._request.parameters or {}).get("binary_data_output") is True
        if not self._request.outputs:
            return [(place, output, usual) for place, output in enumerate(outputs)]
        places = {output.name: place for place, output in enumerate(outputs)}
        found = []
        for wanted in self._request.outputs:
            if wanted.name not in places:
                known = ", ".join(repr(name) for name in list(places)[:10])
                raise InvalidInput(f"the model has no output {wanted.name[:60]!r}; it has {known}")
            parameters = wanted.parameters or {}
            if parameters.get("classification"):
                raise InvalidInput(f"output {wanted.name!r}: this server has no classification extension")
            place = places[wanted.name]
            found.append((place, outputs[place], parameters.get("binary_data", usual) is True))
        return found

    def encode(self, columns: Sequence[Sequence[Any]]) -> bytes:
        """The body of the answer whose output columns these are. Raises InvalidInput."""
        tensors: list[_Parameters] = []
        blobs: list[bytes] = []
        for place, output, binary in self._outputs:
            values, datatype = columns[place], output_datatype(output)
            tensor: _Parameters = {"name": output.name, "shape": [len(values)], "datatype": datatype}
            if binary:
                blobs.append(to_binary(output.name, datatype, values))
                tensor["parameters"] = {"binary_data_size": len(blobs[-1])}
            else:
                tensor["data"] = values
            tensors.append(tensor)
        name, version = self._service
        answer: _Parameters = {"model_name": name, "model_version": version}
        if self._request.id is not None:
            answer["id"] = self._request.id
        text = msgspec.json.encode({**answer, "outputs": tensors})
        self.json_length = len(text) if blobs else None
        return b"".join((text, *blobs))


def _check_shape(tensor: _Tensor, inputs: int) -> None:
    shape = tensor.shape
    if not 1 <= len(shape) <= 2 or any(not 0 <= size < 2**40 for size in shape):
        raise InvalidInput(f"tensor {tensor.name[:60]!r}: its shape has to be [rows] or [rows, columns]")
    check_cells(shape[0], max(inputs, shape[1] if len(shape) == 2 else 1))


def _column(name: str, array: NDArray[Any]) -> NDArray[Any]:
    if array.ndim == 2 and array.shape[1] != 1:
        raise InvalidInput(
            f"tensor {name[:60]!r}: the shape of one tensor for each column has to be [rows] or [rows, 1]"
        )
    return array.reshape(len(array))
