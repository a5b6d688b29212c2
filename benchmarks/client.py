"""What the Python client adds to a call, beside the same call by plain httpx, interleaved.

    .venv/bin/python benchmarks/client.py http://127.0.0.1:12800 --username admin

The password comes from GRISTMILL_PASSWORD. Prints milliseconds of this process's own CPU, medians of
1,000 calls.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

import httpx
import pandas as pd

import gristmill


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--username", default="admin")
    given = parser.parse_args()
    password = os.environ["GRISTMILL_PASSWORD"]
    client = gristmill.connect(given.url, username=given.username, password=password)
    inputs = {"rows": "data.frame"}
    service = client.publish("bench-client", "y = rows['a']", inputs=inputs, outputs={"y": list})
    frame, body = pd.DataFrame({"a": [1.0], "b": [2.0]}), {"rows": {"a": [1.0], "b": [2.0]}}
    path = f"/api/bench-client/{service.version}"
    took: dict[str, list[float]] = {"httpx": [], "client, dict": [], "client, frame": []}
    with httpx.Client(base_url=given.url) as raw:
        login = {"username": given.username, "password": password}
        token = raw.post("/login", json=login).raise_for_status().json()["access_token"]
        raw.headers["Authorization"] = f"Bearer {token}"
        ways = {
            "httpx": lambda: raw.post(path, json=body).json()["outputParameters"]["y"],
            "client, dict": lambda: service.consume(body["rows"]).output("y"),
            "client, frame": lambda: service.consume(frame).output("y"),
        }
        for _ in range(1000):
            for name, way in ways.items():
                begun = time.thread_time()
                way()
                took[name].append((time.thread_time() - begun) * 1000)
    client.delete("bench-client", service.version)
    floor = statistics.median(took["httpx"])
    for name, times in took.items():
        median = statistics.median(times)
        print(f"{name:14} {median:.3f} ms, {median - floor:+.3f} ms beside httpx")


if __name__ == "__main__":
    main()
