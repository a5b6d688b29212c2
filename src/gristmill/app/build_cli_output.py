"""What `gristmill build` prints."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from gristmill.deploy.build import BuildPlan
    from gristmill.deploy.builders import Builder

__all__ = ["counted", "next_steps", "show"]


def show(plan: BuildPlan, program: str | None, context: Path | None) -> None:
    """`--print`: the builder that is not there may be on another machine."""
    from gristmill.deploy.build import write_context
    from gristmill.deploy.builders import Builder, Program, choose
    from gristmill.deploy.errors import NoBuilder

    try:
        builder = choose(Program(program) if program else None, check=False)
    except NoBuilder:
        builder = Builder(program=Program(program or "docker"))
    if context is not None:
        write_context(plan, context)
    command = plan.command(builder, str(context or "CONTEXT"))
    typer.echo("# Containerfile")
    typer.echo(plan.containerfile())
    typer.echo(f"# {counted(plan)}, to /gristmill/publish/{plan.project.name}/")
    width = max(len(f"{entry.size:,}") for entry in plan.files)
    for entry in plan.files:
        typer.echo(f"{entry.size:>{width},}  {entry.path}")
    typer.echo(f"\n# Published at start: {', '.join(plan.publishes)}")
    if plan.requirements:
        typer.echo("\n# requirements.txt")
        typer.echo("\n".join(plan.requirements))
    typer.echo("\n# Command")
    typer.echo(shlex.join(command))


def next_steps(plan: BuildPlan, builder: Builder) -> None:
    """What one does with an image that has been built."""
    run = f"{builder.program} run --rm -p 12800:12800 -e GRISTMILL_ADMIN_PASSWORD {plan.tag}"
    typer.echo("\nNext:")
    if builder.program != "buildah":
        typer.echo(f"  {run}   # try it here")
    typer.echo(f"  gristmill push {plan.tag} REGISTRY/FOLDER")
    typer.echo("  gristmill deploy REGISTRY/FOLDER/…   # onto a cluster, by the name that push prints")


def counted(plan: BuildPlan) -> str:
    """How much goes into the image."""
    return f"{len(plan.files)} {'file' if len(plan.files) == 1 else 'files'}, {_bytes(plan.size)}"


def _bytes(size: int) -> str:
    return f"{size:,} bytes" if size < 10_000 else f"{size / 1e6:,.2f} MB"
