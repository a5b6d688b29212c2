"""Publish the model as the service bos-rf-python, and see that it predicts as it should.

python deploy.py [version]

Needs bos_rf.joblib and check.csv, which fit.py makes.
"""

import os
import sys

import joblib
import pandas

import gristmill

model = joblib.load("bos_rf.joblib")
check = pandas.read_csv("check.csv")
rows = check.drop(columns="pred")


def price(inputData: pandas.DataFrame) -> list[float]:  # noqa: N803 - the name that callers send
    """Median house price in Boston's suburbs, by random forest."""
    prices: list[float] = model.predict(inputData).tolist()
    return prices


# The password comes from where the caller keeps it, and never stands in a script.
url = os.environ.get("GRISTMILL_URL", "http://localhost:12800")
server = gristmill.connect(url, username="admin", password=os.environ["GRISTMILL_PASSWORD"])

version = sys.argv[1] if len(sys.argv) > 1 else "1.0.0"
service = server.publish(
    "bos-rf-python", price, models={"model": model}, inputs={"inputData": rows}, version=version
)

pred = service.price(rows).output()
equal = list(pred) == list(check["pred"])
print(f"10 rows scored by the service, {'equal bit for bit' if equal else 'NOT equal'} to predict() at home")
if not equal:
    sys.exit(1)
