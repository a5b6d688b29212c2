"""Fit a random forest to Boston's housing data and publish it as the service bos-rf-sklearn, version 1.0.0.

GRISTMILL_URL=http://127.0.0.1:12800 GRISTMILL_PASSWORD=… python publish.py
"""

from pathlib import Path

import dill
import pandas
from rest import connect
from sklearn.ensemble import RandomForestRegressor

# The model: median house price as a function of the other variables.
boston = pandas.read_csv("boston.csv")
features = boston.drop(columns="medv")
model = RandomForestRegressor(n_estimators=100, random_state=1978).fit(features, boston["medv"])
Path("model.dill").write_bytes(dill.dumps(model))
print(f"fitted RandomForestRegressor, {model.n_estimators} trees, on {len(boston)} rows")

with connect() as client:
    # The model travels in a session's workspace; a snapshot of the session is what the service is made of.
    session = client.post("/sessions", json={"name": "boston", "runtimeType": "Python"}).json()["sessionId"]
    client.post(
        f"/sessions/{session}/workspace/model",
        content=Path("model.dill").read_bytes(),
        headers={"Content-Type": "application/octet-stream"},
    )
    snapshot = client.post(f"/sessions/{session}/snapshot", json={"name": "boston"}).json()["snapshotId"]

    client.post(
        "/services/bos-rf-sklearn/1.0.0",
        json={
            "runtimeType": "Python",
            "description": "Median house price in Boston's suburbs, by random forest",
            "operationId": "price",
            "snapshotId": snapshot,
            "code": "pred = model.predict(inputData)",
            # With the columns named, a wrong frame is refused before the code runs.
            "inputParameterDefinitions": [
                {"name": "inputData", "type": "data.frame", "columns": list(features.columns)}
            ],
            "outputParameterDefinitions": [{"name": "pred", "type": "vector"}],
        },
    )
    print("published bos-rf-sklearn 1.0.0")

    # The service has its own copy of everything.
    client.delete(f"/sessions/{session}")
    client.delete(f"/snapshots/{snapshot}")
