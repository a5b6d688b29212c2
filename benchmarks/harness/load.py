"""The load: wrk with a Lua script that sends requests and looks into every answer."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from .home import Unavailable

__all__ = ["Request", "Wrong", "ask", "command", "figures", "find_wrk", "load", "needles", "script"]

MARK = "FIGURES "
#: wrk gives up on an answer after this many seconds; counted as lost.
PATIENCE = 10

_RIGHT = """
function right(body)
  local find = string.find
  for _, a in ipairs(answers) do
    if #body >= a[3] and find(body, a[1], 1, true) and find(body, a[2], 1, true) then return true end
  end
  return false
end
"""

_DONE = """
local threads = {}
function setup(thread) table.insert(threads, thread) end

wrong = 0
function response(status, headers, body)
  if status ~= 200 or not right(body) then wrong = wrong + 1 end
end

function done(summary, latency, requests)
  local bad = 0
  for _, thread in ipairs(threads) do bad = bad + thread:get("wrong") end
  local e = summary.errors
  io.write(string.format(
    '%s{"calls":%d,"seconds":%.6f,"wrong":%d,"lost":%d,"p50_ms":%.4f,"p90_ms":%.4f,"p99_ms":%.4f,' ..
    '"p999_ms":%.4f,"max_ms":%.4f}\\n', "FIGURES ", summary.requests, summary.duration / 1e6, bad,
    e.connect + e.read + e.write + e.timeout, latency:percentile(50) / 1e3, latency:percentile(90) / 1e3,
    latency:percentile(99) / 1e3, latency:percentile(99.9) / 1e3, latency.max / 1e3))
end
"""


class Wrong(Exception):
    """A system gave another answer than the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A POST, and the predictions that its answer must hold (None: the body comes back as it is)."""

    url: str
    headers: Mapping[str, str]
    body: bytes
    expected: Sequence[float] | None
    tolerance: float = 1e-6  #: relative; plumber rounds to four digits


def ask(request: Request, seconds: float = 120) -> str:
    """One call, checked number by number; the answer's text. Raises Wrong with what came."""
    with httpx.Client(verify=False, timeout=seconds) as client:
        answer = client.post(request.url, content=request.body, headers=dict(request.headers))
    if answer.status_code != httpx.codes.OK:
        raise Wrong(f"{request.url} answered {answer.status_code}: {answer.text[:300]}")
    needles(answer.text, request)
    return answer.text


def needles(text: str, request: Request) -> tuple[str, str]:
    """The beginnings of the first and the last prediction as they stand in a right answer.

    Ten characters of each are kept, because running as one batch may change the last bits of a sum.
    Raises Wrong unless `text` holds an array of exactly the expected predictions.
    """
    if request.expected is None:
        if text != request.body.decode():
            raise Wrong(f"{request.url} did not send back what it got")
        return text[:20], text[-20:]
    for found in re.finditer(r"\[([-+0-9.eE,\s]+)\]", text):
        words = [word.strip() for word in found[1].split(",")]
        if len(words) == len(request.expected) and all(
            _close(word, value, request.tolerance)
            for word, value in zip(words, request.expected, strict=True)
        ):
            return words[0][:10], words[-1][:10]
    raise Wrong(f"{request.url} answered without the expected predictions: {text[:300]}")


def _close(word: str, expected: float, tolerance: float) -> bool:
    try:
        return abs(float(word) - expected) <= tolerance * max(abs(expected), 1.0)
    except ValueError:
        return False


def script(asked: Sequence[tuple[Request, str]]) -> str:
    """The Lua script of requests with their right answers; several of them go out in turn."""
    answers = ",\n".join(
        "{" + ", ".join(map(_lua, needles(answer, request))) + f", {int(len(answer) * 0.95)}" + "}"
        for request, answer in asked
    )
    sent = _one(asked[0][0]) if len(asked) == 1 else _several([request for request, _ in asked])
    return f"{sent}\nlocal answers = {{{answers}}}\n{_RIGHT}{_DONE}"


def _one(request: Request) -> str:
    """A request that never changes: wrk formats it once."""
    return f"""wrk.method = "POST"
wrk.body = {_lua(request.body.decode())}
wrk.headers = {_lua_headers(request)}
"""


def _several(requests: Sequence[Request]) -> str:
    """Requests in turn, over all connections; formatted before the load begins."""
    formats = "\n".join(
        f'  table.insert(ready, wrk.format("POST", {_lua(urlsplit(request.url).path)}, '
        f"{_lua_headers(request)}, {_lua(request.body.decode())}))"
        for request in requests
    )
    return f"""local ready, turn = {{}}, 0
function init(args)
{formats}
end
function request()
  turn = turn % #ready + 1
  return ready[turn]
end
"""


def _lua_headers(request: Request) -> str:
    """Host is wrk's own for a request that it formats by itself, else ours."""
    headers = {"Host": urlsplit(request.url).netloc, **request.headers}
    return "{" + ", ".join(f"[{_lua(name)}] = {_lua(value)}" for name, value in headers.items()) + "}"


def _lua(text: str) -> str:
    """A Lua string literal; JSON's own is one as long as it escapes nothing but quotes and backslashes."""
    return json.dumps(text, ensure_ascii=False)


def load(url: str, source: str, *, callers: int, seconds: int, folder: Path) -> dict[str, Any]:
    """Run wrk for `seconds`; the figures of `Measurement` up to `max_ms`. Raises Unavailable if wrk fails."""
    path = folder / "request.lua"
    path.write_text(source)
    done = subprocess.run(
        command(url, path, callers=callers, seconds=seconds),
        capture_output=True,
        text=True,
        timeout=seconds + 60,
        check=False,
    )
    return figures(done.stdout, done.stderr)


def command(url: str, path: Path, *, callers: int, seconds: int) -> list[str]:
    """How wrk is called. Raises Unavailable where there is none."""
    return [
        find_wrk(),
        "-t1",
        f"-c{callers}",
        f"-d{seconds}s",
        f"--timeout={PATIENCE}s",
        "-s",
        str(path),
        url,
    ]


def find_wrk() -> str:
    """Its path. Raises Unavailable."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise Unavailable("wrk makes the load: install it (Debian: apt-get install wrk)")
    return wrk


def figures(output: str, errors: str = "") -> dict[str, Any]:
    """What the script's `done` printed. Raises Unavailable with wrk's own words if it is not there."""
    for line in output.splitlines():
        if line.startswith(MARK):
            found: dict[str, Any] = json.loads(line.removeprefix(MARK))
            return found
    raise Unavailable(f"wrk gave no figures: {(errors or output).strip()[-300:]}")
