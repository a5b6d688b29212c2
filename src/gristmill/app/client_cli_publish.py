"""`gristmill publish` and `gristmill redeploy`: a service from a folder with a `service.toml`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from gristmill.app.client_cli_common import Url, connected, note, told, uploads

__all__ = ["publish", "redeploy"]

Source = Annotated[
    Path,
    typer.Argument(
        metavar="FOLDER_OR_FILE",
        help="A service.toml, or the folder that holds it.",
    ),
]
Named = Annotated[Optional[str], typer.Option("--name", help="Instead of the name in the file.")]
Versioned = Annotated[
    Optional[str], typer.Option("--version", "-v", help="Instead of the version in the file.")
]


@told
def publish(
    source: Source = Path("service.toml"),
    name: Named = None,
    version: Versioned = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything that can be checked here, and send nothing.")
    ] = False,
    url: Url = None,
) -> None:
    """Publish a service that a service.toml describes: its code, models, inputs and outputs.

    docs/howto/command-line.md says what may stand in the file. The shortest one names a function, whose
    annotations give the types:

      name = "bos-rf"
      version = "1.0.0"
      function = "score.py:price"
      models = { model = "model.pkl" }

    or, for a realtime service, which the server scores without code, a model and rows as it was fitted on:

      name = "bos-rt"
      realtime = "model.pkl"
      sample = "rows.csv"

    [dim]Examples:[/dim]

      gristmill publish

      gristmill publish services/bos-rf --version 1.0.1
    """
    from gristmill.app.client_cli_service_file import read_service_file

    found = read_service_file(source, name=name, version=version)
    if dry_run:
        typer.echo(
            f"{found.name} {found.version or '(version chosen by the server)'} is ready to be published."
        )
        return
    with connected(url) as client, uploads() as progress:
        if found.realtime is not None:
            service = client.publish_realtime(
                found.name, found.realtime, version=found.version, **found.options
            )
        else:
            service = client.publish(
                found.name, found.code, version=found.version, progress=progress, **found.options
            )
    typer.echo(f"Published {service.name} {service.version}.")
    for each in service.notes:
        note(each)


@told
def redeploy(
    source: Source = Path("service.toml"),
    name: Named = None,
    version: Versioned = None,
    url: Url = None,
) -> None:
    """Change a published version in place, to what the service.toml describes now.

    Calls in flight finish with the old code, later ones run the new. What the file does not speak of stays.

    [dim]Example:[/dim]

      gristmill redeploy services/bos-rf --version 1.0.1
    """
    from gristmill.app.client_cli_service_file import read_service_file
    from gristmill.client.api import LATEST

    found = read_service_file(source, name=name, version=version)
    options = {key: value for key, value in found.options.items() if key != "runtime"}
    with connected(url) as client, uploads() as progress:
        version = found.version or LATEST
        if found.realtime is not None:
            service = client.redeploy_realtime(found.name, found.realtime, version=version, **options)
        else:
            service = client.redeploy(found.name, found.code, version=version, progress=progress, **options)
    typer.echo(f"Redeployed {service.name} {service.version}.")
    for each in service.notes:
        note(each)
