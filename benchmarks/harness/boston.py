"""The Boston housing data as request bodies, in the JSON that each protocol wants."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Boston"]

TARGET = "medv"


@dataclass(frozen=True, slots=True)
class Boston:
    """13 features of 506 areas, by column, in the order of R's MASS; more rows than that begin again."""

    columns: dict[str, list[float]]

    @classmethod
    def read(cls, path: Path) -> Boston:
        """Read the CSV that `fit.R` writes; a column of whole numbers stays one, as a client would send."""
        with path.open(newline="") as file:
            names, *rows = csv.reader(file)
        columns = {}
        for name, values in zip(names, zip(*rows, strict=True), strict=True):
            whole = all("." not in value for value in values)
            columns[name] = [int(value) if whole else float(value) for value in values]
        columns.pop(TARGET, None)
        return cls(columns)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def by_column(self, rows: int) -> bytes:
        """`{"inputData": {"crim": […], …}}`: Gristmill, FastAPI and plumber."""
        taken = {name: [values[i % len(self)] for i in range(rows)] for name, values in self.columns.items()}
        return json.dumps({"inputData": taken}, separators=(",", ":")).encode()

    def by_row(self, rows: int) -> bytes:
        """`{"instances": [[…], …]}`: the V1 protocol of KServe."""
        return json.dumps({"instances": self._matrix(rows)}, separators=(",", ":")).encode()

    def tensor(self, rows: int) -> bytes:
        """One FP64 tensor in row order: the V2 protocol (Open Inference) of MLServer."""
        flat = [value for row in self._matrix(rows) for value in row]
        tensor = {"name": "predict", "shape": [rows, len(self.columns)], "datatype": "FP64", "data": flat}
        return json.dumps({"inputs": [tensor]}, separators=(",", ":")).encode()

    def _matrix(self, rows: int) -> list[list[float]]:
        every = list(zip(*self.columns.values(), strict=True))
        return [list(every[i % len(every)]) for i in range(rows)]
