"""`gristmill build`: a folder with a model and its deployment script becomes an image."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gristmill.app.build_cli_output import counted, next_steps, show
from gristmill.app.build_progress import following_steps
from gristmill.app.client_cli_common import AsJson, Exit, fail, note, print_json, told
from gristmill.app.push_cli import push
from gristmill.app.registry_cli import registry_app

__all__ = ["add_commands"]

_WHAT, _PACKAGES, _HOW = "What", "Packages", "How"


@told
def build(  # noqa: PLR0917 - the command's flags, all of them by name
    folder: Annotated[
        Path,
        typer.Argument(help="Folder with the script, the model, and what they need.", metavar="FOLDER"),
    ],
    tag: Annotated[
        str | None,
        typer.Option(
            "--tag",
            "-t",
            metavar="IMAGE",
            help="The image's name, with a tag: boston:1.0.0. Else the folder's own, and latest.",
            show_default=False,
            rich_help_panel=_WHAT,
        ),
    ] = None,
    publish: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SCRIPT",
            help="A script, .gm file or service.toml to be published at start; repeatable, in order.",
            show_default=False,
            rich_help_panel=_WHAT,
        ),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            metavar="IMAGE",
            help="The image to build upon, if not Gristmill's own for the language.",
            show_default=False,
            rich_help_panel=_WHAT,
        ),
    ] = None,
    language: Annotated[
        str | None,
        typer.Option(
            metavar="python|r",
            help="Which of Gristmill's images; else by the scripts.",
            show_default=False,
            rich_help_panel=_WHAT,
        ),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="A label of the image; repeatable.",
            show_default=False,
            rich_help_panel=_WHAT,
        ),
    ] = None,
    r_package: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="An R package to install; repeatable.",
            show_default=False,
            rich_help_panel=_PACKAGES,
        ),
    ] = None,
    r_repository: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Where R packages come from that Debian does not have, if not where the base image says.",
            show_default=False,
            rich_help_panel=_PACKAGES,
        ),
    ] = None,
    requirements: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Python packages to install: a file in the folder; requirements.txt if it is there.",
            show_default=False,
            rich_help_panel=_PACKAGES,
        ),
    ] = None,
    builder: Annotated[
        str | None,
        typer.Option(
            metavar="docker|podman|buildah",
            help="The program that builds; else the first of them that works.",
            show_default=False,
            rich_help_panel=_HOW,
        ),
    ] = None,
    network: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The builder's network while packages are fetched: host, where its own leads nowhere.",
            show_default=False,
            rich_help_panel=_HOW,
        ),
    ] = None,
    context: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write there what the builder gets, and keep it. With --print nothing is built from it.",
            show_default=False,
            rich_help_panel=_HOW,
        ),
    ] = None,
    only_print: Annotated[
        bool,
        typer.Option(
            "--print", help="Show Containerfile, files and command, and run nothing.", rich_help_panel=_HOW
        ),
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose", "-v", help="On a terminal, too, all that the builder says.", rich_help_panel=_HOW
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Build an image of a folder: a model, the script that publishes it, and the packages that it needs.

    The image is Gristmill's own with the folder in it. Where a container of it starts, the script runs first
    and publishes the model; then the server takes calls. gristmill.toml in the folder may say what the
    options say:

      publish = ["bos_rf_deploy.R"]

      files = ["bos_rf.rds", "bos_rf_deploy.R"]

      r-packages = ["randomForest"]

    Hidden files stay out, and so does what .gristmillignore names. A file that looks like a key or a
    password is refused unless `files` names it.

    [dim]Examples:[/dim]

      gristmill build examples/boston-r -t boston:1.0.0

      gristmill build . --publish deploy.py --requirements requirements.txt --print

      gristmill build . -t boston:1.0.0 --context ./boston-context --print   [dim]# to build elsewhere[/dim]
    """
    from gristmill.deploy.build import build as build_image
    from gristmill.deploy.build import plan as plan_build
    from gristmill.deploy.builders import Program, choose
    from gristmill.deploy.project import Options

    if builder is not None and builder not in list(Program):
        fail(f"--builder {builder}: docker, podman or buildah", Exit.USAGE)
    options = Options(
        language=language,
        base=base,
        publish=publish or (),
        r_packages=r_package or (),
        requirements=requirements,
        labels=_labels(label or ()),
    )
    plan = plan_build(folder, tag=tag, options=options, r_repository=r_repository, network=network)
    if context is not None:
        _make_empty(context)
    program = Program(builder) if builder else None
    if only_print:
        show(plan, program, context)
        return
    chosen = choose(program)
    note(f"{counted(plan)}; {plan.tag} on {plan.base} by {chosen.program}")
    with following_steps(str(plan.tag), verbose=verbose) as step:
        built = build_image(plan, builder=chosen, context=context, step=step)
    if as_json:
        print_json({"image": str(built.image), "id": built.id, "size": built.size, "base": plan.base})
        return
    typer.echo(f"Built {built.image}, {built.size} unpacked")
    typer.echo(f"Id    {built.id}")
    next_steps(plan, chosen)


def _labels(pairs: list[str] | tuple[str, ...]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            fail(f"--label {pair}: write it as KEY=VALUE", Exit.USAGE)
        found[key] = value
    return found


def _make_empty(context: Path) -> None:
    try:
        context.mkdir(parents=True, exist_ok=True)
        occupied = any(context.iterdir())
    except OSError as error:
        fail(f"--context {context}: {error.strerror}", Exit.USAGE)
    if occupied:
        fail(f"--context {context}: the folder is not empty", Exit.USAGE)


def add_commands(app: typer.Typer) -> None:
    """Register `build`, `push` and `registry`."""
    app.command(rich_help_panel="Ship it")(build)
    app.command(rich_help_panel="Ship it")(push)
    app.add_typer(registry_app, name="registry", rich_help_panel="Ship it")
