"""`gristmill registry`: what a registry holds."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from gristmill.app.client_cli_common import AsJson, Exit, Yes, confirmed, fail, print_json, print_table, told
from gristmill.app.push_cli import Insecure, PasswordStdin, Username, login_from

if TYPE_CHECKING:
    from gristmill.deploy.images import ImageReference
    from gristmill.deploy.registry import RegistryClient

__all__ = ["registry_app"]

registry_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="""See what a registry holds, and delete from it; any registry of the OCI distribution specification.

    The login is the one that is given; else what `docker login` or `podman login` have kept.

    [dim]Examples:[/dim]

      gristmill registry repositories 127.0.0.1:5000

      gristmill registry tags registry.example.com/models/boston

      gristmill registry delete registry.example.com/models/boston:1.0.0""",
)

Registry = Annotated[str, typer.Argument(metavar="REGISTRY", help="Its host, host:port.", show_default=False)]
Repository = Annotated[
    str, typer.Argument(metavar="REGISTRY/REPOSITORY", help="Without a tag.", show_default=False)
]
Image = Annotated[
    str,
    typer.Argument(
        metavar="REGISTRY/REPOSITORY[:TAG|@DIGEST]",
        help="By default the tag latest.",
        show_default=False,
    ),
]


@registry_app.command()
@told
def repositories(
    registry: Registry,
    username: Username = None,
    password_stdin: PasswordStdin = False,
    insecure: Insecure = False,
    as_json: AsJson = False,
) -> None:
    """List the repositories of a registry.

    [dim]Example:[/dim]

      gristmill registry repositories 127.0.0.1:5000
    """
    with _client(registry, username, password_stdin, insecure) as client:
        found = list(client.repositories())
    if as_json:
        print_json(found)
    else:
        print_table(("REPOSITORY",), ([each] for each in found), empty=f"{registry} has no repositories.")


@registry_app.command()
@told
def tags(
    repository: Repository,
    username: Username = None,
    password_stdin: PasswordStdin = False,
    insecure: Insecure = False,
    as_json: AsJson = False,
) -> None:
    """List the tags of a repository.

    [dim]Example:[/dim]

      gristmill registry tags registry.example.com/models/boston
    """
    reference = _reference(repository)
    if reference.tag or reference.digest:
        fail(f"{repository}: name the repository without a tag or digest", Exit.USAGE)
    with _client(reference.registry, username, password_stdin, insecure) as client:
        found = client.tags(reference.repository)
    if as_json:
        print_json(found)
    else:
        print_table(("TAG",), ([each] for each in found), empty=f"{repository} has no tags.")


@registry_app.command()
@told
def manifest(
    image: Image,
    username: Username = None,
    password_stdin: PasswordStdin = False,
    insecure: Insecure = False,
) -> None:
    """Print an image's manifest, whose digest has been checked, as the registry gave it.

    [dim]Example:[/dim]

      gristmill registry manifest 127.0.0.1:5000/models/boston:1.0.0 | jq '.layers[].size'
    """
    reference = _reference(image).tagged()
    with _client(reference.registry, username, password_stdin, insecure) as client:
        found = client.manifest(reference.repository, reference.digest or reference.tag or "latest")
    sys.stdout.buffer.write(found.body)
    if sys.stdout.isatty():
        typer.echo(f"\n{found.digest}, {found.size / 1e6:,.0f} MB to pull", err=True)
    sys.stdout.flush()


@registry_app.command()
@told
def digest(
    image: Image,
    username: Username = None,
    password_stdin: PasswordStdin = False,
    insecure: Insecure = False,
) -> None:
    """Print the image by its digest: what its tag stands for now.

    [dim]Example:[/dim]

      gristmill deploy "$(gristmill registry digest registry.example.com/models/boston:1.0.0)"
    """
    reference = _reference(image).tagged()
    with _client(reference.registry, username, password_stdin, insecure) as client:
        found = client.digest(reference.repository, reference.digest or reference.tag or "latest")
    typer.echo(str(reference.by_digest(found)))


@registry_app.command()
@told
def delete(
    image: Image,
    username: Username = None,
    password_stdin: PasswordStdin = False,
    insecure: Insecure = False,
    yes: Yes = False,
) -> None:
    """Delete an image from its registry, by digest: all tags that stand for it go with it.

    [dim]Example:[/dim]

      gristmill registry delete 127.0.0.1:5000/models/boston:1.0.0 --yes
    """
    reference = _reference(image)
    if not reference.tag and not reference.digest:
        fail(f"{image}: say which, by a tag or a digest", Exit.USAGE)
    with _client(reference.registry, username, password_stdin, insecure) as client:
        found = reference.digest or client.digest(reference.repository, reference.tag or "latest")
        confirmed(f"Delete {reference.by_digest(found)}, with all its tags?", yes=yes)
        client.delete(reference.repository, found)
    typer.echo(f"Deleted {reference.by_digest(found)}.")


def _reference(text: str) -> ImageReference:
    from gristmill.deploy.images import ImageReference

    found = ImageReference.parse(text)
    if found.registry is None:
        fail(f"{text}: name the registry too, as in registry.example.com/models/boston", Exit.USAGE)
    return found


@contextmanager
def _client(
    registry: str | None, username: str | None, stdin: bool, insecure: bool
) -> Iterator[RegistryClient]:
    from gristmill.deploy.credentials import stored_login
    from gristmill.deploy.registry import RegistryClient
    from gristmill.deploy.registry_auth import Standard

    assert registry is not None
    login = login_from(username, stdin=stdin) or stored_login(registry)
    with RegistryClient(registry, credentials=Standard(login=login), insecure=insecure) as client:
        yield client
