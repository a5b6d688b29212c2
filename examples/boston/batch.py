"""Score two sets of ten of Boston's rows through the service bos-rf-sklearn as a batch, and compare.

Run publish.py first: the comparison reads the model that it saved.
"""

import json
import sys
from pathlib import Path

import dill
import pandas
from rest import connect

rows = pandas.read_csv("boston.csv").drop(columns="medv")
sets = [rows[:10], rows[10:20]]

with connect() as client:
    # Two items, of which two run at a time. By the time of the answer the server has them for good.
    items = [{"inputData": each.to_dict("list")} for each in sets]
    started = client.post("/api/bos-rf-sklearn/1.0.0/batch", params={"parallelCount": 2}, json=items)
    batch = started.headers["Location"]
    print("accepted as", started.json()["batchExecutionId"])

    # Instead of asking again and again, let the server tell how far it is.
    with client.stream("GET", f"{batch}/events") as events:
        for line in events.iter_lines():
            if line.startswith("data: "):
                now = json.loads(line.removeprefix("data: "))
                print(f"{now['state']}: {now['completedItemCount']} of {now['totalItemCount']}")

    # The results stand in the order of the sets.
    results = client.get(batch).json()["batchExecutionResults"]
    client.delete(batch)

served = [each["outputParameters"]["pred"] for each in results]
model = dill.loads(Path("model.dill").read_bytes())
local = [model.predict(each).tolist() for each in sets]
verdict = "equal bit for bit to predict()" if served == local else "NOT equal to predict()"
print(f"2 sets of 10 rows scored as a batch, {verdict}")

sys.exit(0 if served == local else 1)
