"""`gristmill demo`: a server, a model, a call, an end, in a minute and with nothing left behind."""

from __future__ import annotations

from typing import Annotated

import typer

from gristmill.app.client_cli_common import told

__all__ = ["demo"]


@told
def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave the server running until Ctrl-C.")] = False,
) -> None:
    """See it work: start a server of its own, publish a model, call it from Python and as a program would.

    Nothing of yours is touched, and nothing is left. It needs the server's part of Gristmill.

    [dim]Example:[/dim]

      gristmill demo --keep
    """
    from gristmill.app.client_cli_demo_story import tell

    tell(keep=keep)
