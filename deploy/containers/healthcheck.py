"""The HEALTHCHECK of the image: ends with 0 if the server in this container takes calls, else with 1."""

import http.client
import os
import sys

port = int(os.environ.get("GRISTMILL_PORT", "12800"))
try:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=4)
    connection.request("GET", "/health/ready")
    answer = connection.getresponse()
except OSError as error:
    sys.exit(f"nothing answers at port {port}: {error}")
if answer.status != 200:
    sys.exit(f"/health/ready answers {answer.status}")
