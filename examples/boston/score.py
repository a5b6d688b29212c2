"""Score Boston's first ten rows through the service bos-rf-sklearn, compare with predict(), and see an error.

Run publish.py first: the comparison reads the model that it saved.
"""

import sys
from pathlib import Path

import dill
import pandas
from rest import connect

boston = pandas.read_csv("boston.csv").head(10)
rows = boston.drop(columns="medv")

with connect() as client:
    service = "/api/bos-rf-sklearn/1.0.0"
    result = client.post(service, json={"inputData": rows.to_dict("list")}).json()
    if not result["success"]:
        sys.exit(result["errorMessage"])
    served = result["outputParameters"]["pred"]
    local = dill.loads(Path("model.dill").read_bytes()).predict(rows).tolist()

    table = pandas.DataFrame({"medv": boston["medv"], "served": served, "local": local})
    print(table.to_string(index=False))
    equal = served == local
    verdict = "equal bit for bit to predict()" if equal else "NOT equal to predict()"
    print(f"10 rows scored over REST, {verdict}")

    # This service names its columns, so a frame without one of them is refused with status 400.
    client.event_hooks = {}
    wrong = client.post(service, json={"inputData": rows.drop(columns="lstat").to_dict("list")})
    print(f"without the column lstat: status {wrong.status_code}\n  {wrong.json()['message']}")

sys.exit(0 if equal and wrong.status_code == 400 else 1)
