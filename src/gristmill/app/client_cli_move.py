"""`gristmill export` and `gristmill import`: a service as one file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Optional

import typer

from gristmill.app.client_cli_common import (
    Exit,
    ServiceName,
    Url,
    Version,
    connected,
    fail,
    told,
    uploads,
)

__all__ = ["export", "import_"]


@told
def export(
    name: ServiceName,
    version: Version,
    output: Annotated[
        Optional[Path],
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            show_default=False,
            help="Where to write it; if left out, NAME-VERSION.gm in this folder.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Overwrite a file that is there.")] = False,
    url: Url = None,
) -> None:
    """Write a service to a file: code, model, inputs and outputs, to import it elsewhere.

    You may export what you may change, as the file shows the code. One service is always the same bytes, so
    that files can be compared. It holds no accounts, no tokens and no results.

    [dim]Examples:[/dim]

      gristmill export bos-rf 1.0.0

      gristmill export bos-rf 1.0.0 -o image/publish/bos-rf.gm
    """
    target = output or Path(f"{name}-{version}.gm")
    if target.exists() and not force:
        fail(f"{target} exists already: choose another with --output, or say --force", Exit.REFUSED)
    with connected(url) as client, uploads() as progress:
        written = client.export(name, version, target, progress=_for(progress, f"{name} {version}"))
    typer.echo(f"Exported {name} {version} to {written} ({written.stat().st_size:,} bytes).")


@told
def import_(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="What `gristmill export` wrote.", show_default=False),
    ],
    name: Annotated[Optional[str], typer.Option("--name", help="Instead of the name in the file.")] = None,
    version: Annotated[
        Optional[str], typer.Option("--version", "-v", help="Instead of the version in the file.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Change a version that exists in place, instead of an error.")
    ] = False,
    url: Url = None,
) -> None:
    """Publish services that were exported to files, here or on another server.

    They are checked as when they were published first, and belong to you then.

    [dim]Examples:[/dim]

      gristmill import bos-rf-1.0.0.gm --url https://models.example.com

      gristmill import *.gm --replace
    """
    from gristmill.client.errors import Conflict

    if len(files) > 1 and (name or version):
        fail("--name and --version are for one file", Exit.USAGE)
    with connected(url) as client:
        for file in files:
            try:
                with uploads() as progress:
                    service = client.import_(
                        file, name=name, version=version, replace=replace, progress=_for(progress, file.name)
                    )
            except Conflict as error:
                hint = "--replace changes it in place, --version publishes it beside"
                fail(f"{error}; {hint}", Exit.REFUSED)
            typer.echo(f"Imported {service.name} {service.version}.")


def _for(
    progress: Optional[Callable[[str, int, int], None]], label: str
) -> Optional[Callable[[int, int], None]]:
    return None if progress is None else lambda done, total: progress(label, done, total)
