"""A registry's refusals, in words."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from gristmill.deploy.errors import (
    NotInRegistry,
    RegistryBusy,
    RegistryCannot,
    RegistryForbids,
    RegistryLoginRefused,
    RegistryRefused,
)
from gristmill.errors import GristmillError

if TYPE_CHECKING:
    from gristmill.deploy.registry_wire import Answer

__all__ = ["refusal"]


def refusal(answer: Answer, registry: str, method: str, path: str) -> GristmillError:
    """The error for an answer that is none of success."""
    what = _what(path)
    codes, said = _said(answer)
    about = f"{registry}: {what}"
    if answer.status == 401:
        return RegistryLoginRefused(f"{registry} does not take the account or its password{said}")
    if answer.status == 403:
        return RegistryForbids(f"{about}: the account has no right to it{said}")
    if answer.status == 404:
        if method == "GET" and path.startswith("/v2/_catalog"):
            return RegistryCannot(f"{registry} does not list its repositories{said}")
        return NotInRegistry(f"{registry} has no {what}{said}")
    if answer.status in {400, 405} and (method == "DELETE" or "UNSUPPORTED" in codes):
        return RegistryCannot(
            f"{about} cannot be deleted here{said}. Docker's registry allows it with "
            "REGISTRY_STORAGE_DELETE_ENABLED=true"
        )
    if answer.status == 429:
        return RegistryBusy(f"{registry} wants fewer requests{said}", retry_after=_seconds(answer))
    if 300 <= answer.status < 400:
        return RegistryRefused(f"{about}: it sends us elsewhere, and that is not followed")
    return RegistryRefused(f"{about}: its answer is {answer.status}{said}")


def _what(path: str) -> str:
    parts = path.partition("?")[0].removeprefix("/v2/").split("/")
    if "manifests" in parts[1:]:
        at = len(parts) - 2
        name, reference = "/".join(parts[:at]), parts[at + 1]
        return f"image {name}{'@' if ':' in reference else ':'}{reference}"
    if parts[-2:] == ["tags", "list"]:
        return f"repository {'/'.join(parts[:-2])}"
    return "list of repositories" if parts == ["_catalog"] else "/v2/, which every registry has"


def _said(answer: Answer) -> tuple[set[str], str]:
    """Codes and messages of the body, cut to a line."""
    try:
        document = json.loads(answer.body)
        listed = [each for each in document["errors"] if isinstance(each, dict)]
    except (ValueError, KeyError, TypeError):
        return set(), ""
    codes = {str(each.get("code", "")) for each in listed}
    words = "; ".join(str(each.get("message") or each.get("code") or "") for each in listed[:3])
    words = "".join(letter for letter in words if letter.isprintable())[:300]
    return codes, f" ({words})" if words else ""


def _seconds(answer: Answer) -> float | None:
    text = answer.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() else None
