"""Gristmill's REST interface from Python, with httpx: what publish.py and score.py share."""

import os
import sys

import httpx


def connect() -> httpx.Client:
    """Log in. Every call of the client that comes back carries the token; a refusal ends the script."""
    client = httpx.Client(
        base_url=os.environ.get("GRISTMILL_URL", "http://127.0.0.1:12800"),
        timeout=60,
        event_hooks={"response": [_stop_at_refusal]},
    )
    user = os.environ.get("GRISTMILL_USERNAME", "admin")
    login = {"username": user, "password": os.environ["GRISTMILL_PASSWORD"]}
    token = client.post("/login", json=login).json()["access_token"]
    client.headers["Authorization"] = f"Bearer {token}"
    return client


def _stop_at_refusal(response: httpx.Response) -> None:
    if response.is_error:
        response.read()
        sys.exit(f"{response.status_code}: {response.json()['message']}")
