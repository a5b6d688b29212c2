"""Start-up publishing as this server does it: which program runs what, and what it is told."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import structlog

from gristmill.app.settings import Settings
from gristmill.app.state import State
from gristmill.auth.users import ADMIN
from gristmill.bundles import Bundle, Step
from gristmill.errors import GristmillError
from gristmill.identity import Principal, Role
from gristmill.launch.scripts import ScriptFailed, run_script
from gristmill.start_up import PublishingFailed, StartUp
from gristmill.web.context import Context

__all__ = ["Publishing"]

log = structlog.get_logger("gristmill.start_up")

#: R's own default packages, and ours: scripts for ML Server find its functions without `library()`.
_R_PACKAGES = "datasets,utils,grDevices,graphics,stats,methods,gristmill"
_COMMAND = "from gristmill.app.cli import main; main()"


class Publishing:
    """The bundles of one start."""

    def __init__(
        self, settings: Settings, bundles: list[Bundle], state: State, context: Context, data: Path
    ) -> None:
        self._settings = settings
        self._state = state
        self._moving = context.moving
        self._phase = context.phase
        self._scratch = data / "scratch"
        self._variables: dict[str, str] = {}
        self._start_up = StartUp(bundles, state.database.bundles, self._run, self._tell)

    async def run(self, url: str, show: Callable[[str], None]) -> None:
        """Publish what is not published yet, by way of the server at `url`. Raises PublishingFailed."""
        pending = await self._start_up.pending()
        if not pending:
            return
        self._show = show
        try:
            async with self._state.accounts.one_time_password() as password:
                self._variables = {"GRISTMILL_URL": url, "GRISTMILL_PASSWORD": password}
                await self._start_up.publish(pending)
        finally:
            self._phase.publishing = ""

    def _tell(self, number: int, steps: int, name: str) -> None:
        self._phase.publishing = f"{number} of {steps}"
        self._show(f"publishing {number} of {steps}: {name}")

    async def _run(self, step: Step) -> None:
        try:
            if step.kind == ".gm":
                await self._import(step)
            else:
                await self._run_script(step)
        except GristmillError as error:
            raise PublishingFailed(f"{step.file} was not published: {error.message}") from None

    async def _import(self, step: Step) -> None:
        """Without a login, and without a copy on its way through HTTP."""
        admin = Principal(name=ADMIN, role=Role.OWNER, replaces=True)
        with step.file.open("rb") as file:
            service = await self._moving.take_in(file, admin)
        log.info("publish_output", file=step.path, line=f"imported {service.name} {service.version}")

    async def _run_script(self, step: Step) -> None:
        command, variables = self._command(step)
        await run_script(
            command,
            folder=step.folder,
            scratch=self._scratch,
            variables={**self._variables, **variables},
            seconds=self._settings.publish_seconds,
            tell=lambda line: log.info("publish_output", file=step.path, line=line),
        )

    def _command(self, step: Step) -> tuple[list[str], dict[str, str]]:
        """What to run, and what it finds in its environment."""
        if step.kind == ".R":
            program = self._settings.r_program or shutil.which("R")
            if program is None:
                raise ScriptFailed("it needs R, and there is none on this machine")
            # As Rscript does it; the site's profile is read, and no file of this name is taken for an option.
            flags = ["--no-echo", "--no-restore", "--no-save", f"--file={step.path}"]
            return [program, *flags], {"R_DEFAULT_PACKAGES": _R_PACKAGES}
        quiet = {"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        if step.kind == ".py":
            return [self._settings.python or sys.executable, f"./{step.path}"], quiet
        return [sys.executable, "-c", _COMMAND, "publish", f"./{step.path}"], quiet
