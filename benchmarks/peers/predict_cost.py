"""What `predict` alone costs in a Python process. Usage: predict_cost.py BOSTON_CSV MODELS SECONDS ROWS…

Prints JSON: {model: {rows: {"cpu_us": …, "wall_us": …}}}, per call, for numpy arrays of 13 columns.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import joblib  # noqa: E402 - the libraries read the variables above when they are imported
import numpy  # noqa: E402


def cost(predict: Any, rows: Any, seconds: float) -> dict[str, float]:
    predict(rows)
    calls, cpu, wall = 0, time.process_time(), time.perf_counter()
    while time.perf_counter() - wall < seconds:
        predict(rows)
        calls += 1
    return {
        "cpu_us": (time.process_time() - cpu) / calls * 1e6,
        "wall_us": (time.perf_counter() - wall) / calls * 1e6,
    }


def main(csv: str, folder: Path, seconds: float, counts: list[int]) -> None:
    data = numpy.loadtxt(csv, delimiter=",", skiprows=1)[:, :13]
    costs: dict[str, dict[int, dict[str, float]]] = {}
    for name in ("linear", "forest"):
        predict = joblib.load(folder / f"{name}-array.joblib").predict
        rows = {n: data[numpy.arange(n) % len(data)] for n in counts}
        costs[name] = {n: cost(predict, rows[n], seconds) for n in counts}
    print(json.dumps(costs))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]), [int(count) for count in sys.argv[4:]])
