"""`python -m gristmill.python_shell`: one shell, started by the server with its sockets on 3 and 4."""

from __future__ import annotations

import os

from gristmill.python_shell.engine import serve

__all__ = ["main"]


def main() -> None:
    """Serve until the server hangs up, and leave at once: threads of user code cannot hold the process."""
    serve()
    os._exit(0)


if __name__ == "__main__":
    main()
