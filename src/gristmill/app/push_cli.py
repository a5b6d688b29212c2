"""`gristmill push`: an image into a registry."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from gristmill.app.build_progress import following_lines
from gristmill.app.client_cli_common import AsJson, Exit, fail, print_json, told

if TYPE_CHECKING:
    from gristmill.deploy.credentials import Login

__all__ = ["Insecure", "PasswordStdin", "Username", "login_from", "push"]

Username = Annotated[
    str | None,
    typer.Option(
        "--username",
        "-u",
        help="Account at the registry; GRISTMILL_REGISTRY_USERNAME is another way.",
        show_default=False,
    ),
]
PasswordStdin = Annotated[
    bool,
    typer.Option(
        "--password-stdin",
        help="Its password is the first line of standard input; GRISTMILL_REGISTRY_PASSWORD is another way.",
    ),
]
Insecure = Annotated[
    bool,
    typer.Option("--insecure", help="Allow plain HTTP, and certificates that nobody can check."),
]


@told
def push(  # noqa: PLR0917 - the command's flags, all of them by name
    image: Annotated[str, typer.Argument(help="Image on this machine.", show_default=False)],
    target: Annotated[
        str,
        typer.Argument(
            metavar="REGISTRY[/FOLDER][/NAME:TAG]",
            help="The registry, and where in it; name and tag are the image's own if left out.",
            show_default=False,
        ),
    ],
    username: Username = None,
    password_stdin: PasswordStdin = False,
    save: Annotated[
        bool, typer.Option("--save", help="Keep the login, as `docker login` does. Else it is forgotten.")
    ] = False,
    insecure: Insecure = False,
    builder: Annotated[
        str | None,
        typer.Option(
            metavar="docker|podman|buildah",
            help="The program that has the image; else the first of them that works.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Push an image into a registry, see that it is there, and print its digest.

    The login is the one that is given; else what `docker login` or `podman login` have kept.

    [dim]Examples:[/dim]

      gristmill push boston:1.0.0 registry.example.com/models   [dim]# as models/boston:1.0.0[/dim]

      gristmill push boston:1.0.0 registry.example.com/ml/house-prices:2026-11

      echo "$PASSWORD" | gristmill push boston:1.0.0 127.0.0.1:5000 -u ann --password-stdin
    """
    from gristmill.deploy.builders import Program, choose
    from gristmill.deploy.push import push as push_image

    if builder is not None and builder not in list(Program):
        fail(f"--builder {builder}: docker, podman or buildah", Exit.USAGE)
    login = login_from(username, stdin=password_stdin)
    if save and login is None:
        fail("--save keeps a login: give one by --username and --password-stdin", Exit.USAGE)
    with following_lines(f"{image} → {target}") as tell:
        chosen = choose(Program(builder) if builder else None)
        pushed = push_image(
            image, target, login=login, save=save, insecure=insecure, builder=chosen, tell=tell
        )
    if as_json:
        print_json({"image": str(pushed.image), "digest": pushed.digest, "exact": str(pushed.exact)})
        return
    typer.echo(f"Pushed {pushed.image}")
    typer.echo(f"Digest {pushed.exact}")
    typer.echo(f"\nNext:\n  gristmill deploy {pushed.image}")


def login_from(username: str | None, *, stdin: bool) -> Login | None:
    """The login of flags, standard input and environment."""
    from gristmill.deploy.credentials import from_environment

    password = None
    if stdin:
        if sys.stdin.isatty():
            password = typer.prompt("Password", hide_input=True, err=True)
        else:
            password = sys.stdin.readline().rstrip("\r\n")
        if not password:
            fail("--password-stdin: there is no password on standard input", Exit.USAGE)
    return from_environment(username, password)
