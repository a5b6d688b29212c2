"""Start shells somewhere; so far as child processes of this machine."""

from gristmill.launch.local import LocalLauncher

__all__ = ["LocalLauncher"]
