"""Gristmill's REST interface from Python, with httpx: what publish.py and score.py share."""

import os
import sys

import httpx

URL = os.environ.get("GRISTMILL_URL", "http://127.0.0.1:12800")


def connect() -> httpx.Client:
    """Log in. Every call of the client that comes back carries the token; a refusal ends the script."""
    user = os.environ.get("GRISTMILL_USERNAME", "admin")
    login = {"username": user, "password": os.environ["GRISTMILL_PASSWORD"]}
    response = httpx.post(f"{URL}/login", json=login, timeout=60)
    _stop_at_refusal(response)
    return httpx.Client(
        base_url=URL,
        headers={"Authorization": f"Bearer {response.json()['access_token']}"},
        timeout=60,
        event_hooks={"response": [_stop_at_refusal]},
    )


def _stop_at_refusal(response: httpx.Response) -> None:
    if response.is_error:
        response.read()
        sys.exit(f"{response.status_code}: {response.json()['message']}")
