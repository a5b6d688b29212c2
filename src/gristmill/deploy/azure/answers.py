"""From what Azure answers to our errors: what is wrong, and the way out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from gristmill.deploy.azure.errors import (
    AzureBusy,
    AzureConflict,
    AzureForbids,
    AzureRefused,
    AzureUnreachable,
    NameTaken,
    NoCapacity,
    NoSubscription,
    NotInAzure,
    NotLoggedIn,
    OperationFailed,
    QuotaExceeded,
)
from gristmill.errors import GristmillError

if TYPE_CHECKING:
    from azure.core.exceptions import HttpResponseError

__all__ = ["LOGIN_WAYS", "code_of", "plain", "translated"]

LOGIN_WAYS = (
    "Log in with `az login`, or, where nobody sits, set AZURE_TENANT_ID, AZURE_CLIENT_ID and "
    "AZURE_CLIENT_SECRET"
)
_OTHER_REGION = "Choose another --location, or another --node-size"
_QUOTA = (
    "Ask for more in the portal (Subscriptions, Usage + quotas), or choose fewer or smaller nodes (--nodes, "
    "--node-size), or another --location"
)
_REGISTER = (
    "The subscription has to be registered for it once: az provider register --namespace "
    "Microsoft.ContainerRegistry, and the same for Microsoft.ContainerService"
)
#: Parts of Azure's error codes, in lower case; the first that is found in the code decides.
_BY_CODE: tuple[tuple[str, type[GristmillError], str], ...] = (
    ("subscriptionnotfound", NoSubscription, "`az account list --output table` shows those of this login"),
    ("invalidsubscriptionid", NoSubscription, "`az account list --output table` shows those of this login"),
    ("invalidauthenticationtokentenant", NotLoggedIn, "Log in where it is: az login --tenant TENANT"),
    ("disabledsubscription", AzureForbids, "The portal says why, and how it is enabled"),
    ("quota", QuotaExceeded, _QUOTA),
    ("limitreached", QuotaExceeded, _QUOTA),
    ("skunotavailable", NoCapacity, _OTHER_REGION),
    ("allocationfailed", NoCapacity, _OTHER_REGION),
    ("overconstrained", NoCapacity, _OTHER_REGION),
    ("vmsizenotsupported", NoCapacity, _OTHER_REGION),
    ("locationnotavailable", NoCapacity, "Choose another --location"),
    ("capacity", NoCapacity, _OTHER_REGION),
    ("alreadyinuse", NameTaken, "Choose another name"),
    ("requestdisallowedbypolicy", AzureRefused, "A policy of the subscription forbids it: ask its owner"),
    ("scopelocked", AzureForbids, "A lock is on it: `az lock list` shows which"),
    ("resourcegroupbeingdeleted", AzureConflict, "Wait until it is gone, or choose another name"),
    ("missingsubscriptionregistration", AzureForbids, _REGISTER),
)
_BY_STATUS: dict[int, tuple[type[GristmillError], str]] = {
    400: (AzureRefused, ""),
    401: (NotLoggedIn, LOGIN_WAYS),
    403: (AzureForbids, "Contributor is the role that may; an owner of the group or subscription gives it"),
    404: (NotInAzure, ""),
    409: (AzureConflict, ""),
    429: (AzureBusy, "Try again in a few minutes"),
}
_LONGEST = 600


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Whatever Microsoft's clients raise, as one of our errors; `what` tells people what it was about."""
    from azure.core.exceptions import (
        AzureError,
        ClientAuthenticationError,
        HttpResponseError,
        ServiceRequestError,
        ServiceResponseError,
    )

    try:
        yield
    except ClientAuthenticationError as error:
        raise _not_logged_in(error) from None
    except HttpResponseError as error:
        raise _refusal(what, error) from None
    except (ServiceRequestError, ServiceResponseError) as error:
        way = "Is there a way to the internet from here, a proxy to be named (HTTPS_PROXY), another --cloud?"
        raise AzureUnreachable(f"{what}: no answer from Azure: {plain(error)}. {way}") from None
    except AzureError as error:
        raise OperationFailed(f"{what}: {plain(error)}") from None


def code_of(error: HttpResponseError) -> str:
    """Azure's own word for it, or nothing."""
    found: Any = error.error
    return str(getattr(found, "code", None) or "")


def plain(text: object) -> str:
    """In one line that a terminal may show, and not too long."""
    line = " ".join(re.sub(r"[^\x20-\x7e\u00a0-\ud7ff\ue000-\ufefe]", " ", str(text)).split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"


def _refusal(what: str, error: HttpResponseError) -> GristmillError:
    code, status = code_of(error), error.status_code or 0
    kind, way = _kind(code.lower(), status, error)
    said: Any = getattr(error.error, "message", None) or error.message or error.reason
    text = f"{what}: {plain(said).rstrip('.')}" + (f" ({plain(code)})" if code else "")
    refused = kind(f"{text}. {way}" if way else text)
    if kind is AzureBusy and error.response is not None:
        response: Any = error.response
        after = str(response.headers.get("Retry-After", ""))
        refused.retry_after = float(after) if after.isdigit() else None
    return refused


def _kind(code: str, status: int, error: HttpResponseError) -> tuple[type[GristmillError], str]:
    for part, kind, way in _BY_CODE:
        if part in code:
            return kind, way
    said = str(getattr(error.error, "message", "")).lower()
    if "quota" in said or "cores limit" in said:
        return QuotaExceeded, _QUOTA
    if status >= 500:
        return OperationFailed, "This is Azure's own trouble: try again"
    return _BY_STATUS.get(status, (OperationFailed, ""))


def _not_logged_in(error: Exception) -> NotLoggedIn:
    """Of the half page in which each way of logging in says that it is not set up, what may be news."""
    response = getattr(error, "response", None)
    found: Any = getattr(error, "error", None)
    if response is not None and getattr(found, "code", None):  # Azure itself has spoken
        wrong_tenant = "tenant" in str(found.code).lower()
        way = "Log in where the subscription is: az login --tenant TENANT" if wrong_tenant else LOGIN_WAYS
        return NotLoggedIn(f"Azure does not take this login: {plain(found.message).rstrip('.')}. {way}")
    tried = re.findall(r"^\s+(\w+?)Credential: (.+)$", str(error), re.MULTILINE)
    news = [f"{name}: {plain(said)[:150]}" for name, said in tried if not _DULL.search(said)]
    if not tried:
        news = [plain(error)[:300]]
    return NotLoggedIn(
        f"you are not logged in to Azure. {LOGIN_WAYS}" + (f" ({'; '.join(news)})" if news else "")
    )


_DULL = re.compile(
    r"not installed|not found on path|could not be found|unavailable|please run 'az(d)? ?(auth )?login'|"
    r"not (fully )?configured|only supports|requires? the|no accounts|environment variables are not",
    re.IGNORECASE,
)
