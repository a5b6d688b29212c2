"""What the halves of the engine share."""

from __future__ import annotations

from typing import Any, Dict, NamedTuple

from gristmill.python_shell.channel import Channel
from gristmill.python_shell.console import Console
from gristmill.python_shell.guard import Guard
from gristmill.python_shell.runtime import Runtime

__all__ = ["Parts"]


class Parts(NamedTuple):
    """One shell's runtime and surroundings; `home` is a directory of its own, `settings` is CONFIG's body."""

    runtime: Runtime
    channel: Channel
    console: Console
    guard: Guard
    home: str
    settings: Dict[str, Any]
