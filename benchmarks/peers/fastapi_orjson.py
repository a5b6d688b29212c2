"""FastAPI and orjson with the model in the server's own process. Usage: fastapi_orjson.py PORT MODELS FORM.

One process; no pydantic model of the body: the handlers decode it by orjson, as one writes it for speed.
FORM is `array` (columns become one numpy array: the fastest way) or `frame` (columns become a pandas frame).
"""

from __future__ import annotations

import sys
from pathlib import Path

import joblib
import numpy
import orjson
import pandas
import uvicorn
from fastapi import FastAPI, Request, Response

port, folder, form = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
models = {name: joblib.load(folder / f"{name}-{form}.joblib") for name in ("linear", "forest")}
app = FastAPI()


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ready"}


@app.post("/score/{name}")
async def score(name: str, request: Request) -> Response:
    columns = orjson.loads(await request.body())["inputData"]
    if form == "array":
        rows = numpy.array(list(columns.values()), dtype=float).T
    else:
        rows = pandas.DataFrame(columns)
    prediction = models[name].predict(rows)
    body = orjson.dumps({"prediction": prediction}, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(body, media_type="application/json")


if __name__ == "__main__":
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )
