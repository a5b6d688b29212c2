"""What `gristmill deploy` and `gristmill azure deploy` are both told of the deployment, as options."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "AdminPasswordFrom",
    "ObjectName",
    "PasswordStdin",
    "Replicas",
    "ServiceType",
    "SetValues",
    "ValueFiles",
]

_WHAT, _SECRETS = "What", "Secrets"


class ServiceType(enum.StrEnum):
    """Types of a Service."""

    CLUSTER_IP = "ClusterIP"
    LOAD_BALANCER = "LoadBalancer"
    NODE_PORT = "NodePort"


ObjectName = Annotated[
    str | None,
    typer.Option(
        "--name",
        help="Name of its objects, if not the image's last part.",
        show_default=False,
        rich_help_panel=_WHAT,
    ),
]
Replicas = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=1000,
        help="How many; more than one share a database: --set database.existingSecret=NAME.",
        show_default=False,
        rich_help_panel=_WHAT,
    ),
]
SetValues = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="A value of the chart; repeatable.",
        show_default=False,
        rich_help_panel=_WHAT,
    ),
]
ValueFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--values",
        "-f",
        metavar="FILE",
        help="Values of the chart, in YAML; repeatable.",
        show_default=False,
        rich_help_panel=_WHAT,
    ),
]
AdminPasswordFrom = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Password of admin: the file's first line. Else one is made, and kept.",
        show_default=False,
        rich_help_panel=_SECRETS,
    ),
]
PasswordStdin = Annotated[
    bool,
    typer.Option(
        "--password-stdin",
        help="Password of admin: the first line of standard input.",
        rich_help_panel=_SECRETS,
    ),
]
