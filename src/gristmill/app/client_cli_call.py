"""`gristmill call`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from gristmill.app.client_cli_common import (
    AsJson,
    Exit,
    ServiceName,
    Url,
    connected,
    is_terminal,
    note,
    print_json,
    print_table,
    told,
)

if TYPE_CHECKING:
    from gristmill.client import Result, Service

__all__ = ["call"]

#: Rows that are shown on a terminal; files and pipes get all.
_SHOWN_ROWS = 50


@told
def call(
    name: ServiceName,
    rest: Annotated[
        Optional[list[str]],
        typer.Argument(
            metavar="[VERSION] [INPUT=VALUE]...",
            show_default=False,
            help="The version, the latest if left out; then inputs. @FILE as a value reads a file.",
        ),
    ] = None,
    file: Annotated[
        Optional[str],
        typer.Option(
            "--input",
            "-i",
            metavar="FILE",
            show_default=False,
            help="The one frame or matrix that the service takes, as .csv, .tsv, .json or .parquet; or "
            "a .json of all inputs by name. - is standard input.",
        ),
    ] = None,
    output: Annotated[
        Optional[Path],
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            show_default=False,
            help="Write the outputs to a .csv, .tsv, .json or .parquet file instead.",
        ),
    ] = None,
    save: Annotated[
        Optional[Path],
        typer.Option(
            "--save",
            metavar="FOLDER",
            file_okay=False,
            show_default=False,
            help="Write the files that the service makes into this folder.",
        ),
    ] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Call a service, and print what it answers.

    On a terminal outputs are tables; in a pipe a vector is a value a line, and a frame is CSV. What the
    service's code prints goes to standard error. Status 6 says that this code failed.

    [dim]Examples:[/dim]

      gristmill call bos-rf 1.0.0 --input rows.csv

      gristmill call transmission hp=120 wt=2.8

      gristmill call bos-rf rows=@rows.csv --output scored.csv
    """
    from gristmill.app.client_cli_inputs import inputs_of

    version, given = _split(rest or [])
    with connected(url) as client:
        service = client.service(name, version)
        result = service.call(**inputs_of(service.details, given, file))
    if result.console_output:
        note(result.console_output.rstrip("\n"))
    if save is not None and result.success:
        save.mkdir(parents=True, exist_ok=True)
        for artifact in result.artifacts:
            note(f"wrote {result.save(artifact, save)}")
    if as_json:
        print_json(result.raw)
        if not result.success:
            raise typer.Exit(Exit.CODE_FAILED)
        return
    result.check()
    if output is not None:
        from gristmill.app.client_cli_inputs import write_outputs

        write_outputs(output, _columns(service, result) or result.raw["outputParameters"])
        note(f"wrote {output}")
    else:
        _print(service, result)
        if result.artifacts and save is None:
            note(f"files: {', '.join(result.artifacts)}; --save FOLDER writes them")


def _split(rest: list[str]) -> tuple[str, list[str]]:
    """Version and inputs: what has no = is the version, and comes first."""
    if rest and "=" not in rest[0]:
        return rest[0], rest[1:]
    return "latest", rest


def _columns(service: Service, result: Result) -> dict[str, list[Any]]:
    """All outputs as the columns of one table, if they are equally long columns; else nothing."""
    columns: dict[str, list[Any]] = {}
    for each in service.outputs:
        value = result.raw["outputParameters"].get(each.name)
        if isinstance(value, dict):
            columns.update(value)
        elif isinstance(value, list) and not any(isinstance(cell, list) for cell in value):
            columns[each.name] = value
        else:
            return {}
    return columns if len({len(column) for column in columns.values()}) == 1 else {}


def _print(service: Service, result: Result) -> None:
    values = result.raw["outputParameters"]
    columns = _columns(service, result)
    if columns:
        rows = list(zip(*columns.values()))
        if is_terminal():
            print_table(list(columns), rows[:_SHOWN_ROWS])
            if len(rows) > _SHOWN_ROWS:
                note(f"… and {len(rows) - _SHOWN_ROWS} rows more; --output FILE writes all")
        elif len(service.outputs) == 1 and isinstance(values[service.outputs[0].name], list):
            print_table((), rows)
        else:
            from gristmill.app.client_cli_inputs import csv_text

            typer.echo(csv_text(columns), nl=False)
        return
    if len(values) == 1 and not is_terminal():
        (value,) = values.values()
        if isinstance(value, (list, dict)):
            print_json(value)
        else:
            typer.echo("" if value is None else str(value))
        return
    print_table((), [(name, value) for name, value in values.items()])
    if not service.outputs:
        note("done; the service has no outputs")
