"""`gristmill deploy`: an image onto a Kubernetes cluster; how it is; away with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from gristmill.app.client_cli_common import AsJson, Exit, Yes, confirmed, fail, print_json, print_table, told
from gristmill.app.deploy_cli_inputs import admin_password_of, login_of
from gristmill.app.deploy_cli_options import (
    AdminPasswordFrom,
    ObjectName,
    PasswordStdin,
    Replicas,
    ServiceType,
    SetValues,
    ValueFiles,
)
from gristmill.app.deploy_cli_output import as_plain, password_command, print_objects, row_of, show
from gristmill.app.deploy_progress import following

if TYPE_CHECKING:
    from gristmill.deploy.kubernetes import Cluster
    from gristmill.deploy.kubernetes.planning import Plan

__all__ = ["add_commands"]

_WHERE, _WHAT, _SECRETS, _WAIT = "Where", "What", "Secrets", "How long, and what if not"


class _Group(TyperGroup):
    """`gristmill deploy IMAGE` is `gristmill deploy run IMAGE`: what is no command's name is an image."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in {*self.commands, "-h", "--help"}:
            args = ["run", *args]
        return super().parse_args(ctx, args)


deploy_app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="""Put an image onto a Kubernetes cluster: gristmill deploy IMAGE.

    Its objects are those of the Helm chart, with the same values (--set, --values). It is waited for until
    it is ready; if it does not get ready, the pods' own words say why, and what ran before is put back.

    [dim]Examples:[/dim]

      gristmill deploy registry.example.com/bos-rf:1.0.0 --namespace models --service-type LoadBalancer

      gristmill deploy status

      gristmill deploy delete bos-rf --namespace models

    [dim]gristmill deploy run --help[/dim] shows all options.""",
)

Kubeconfig = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Which file describes the cluster, if not KUBECONFIG or ~/.kube/config.",
        show_default=False,
        rich_help_panel=_WHERE,
    ),
]
Context = Annotated[
    str | None,
    typer.Option(
        help="Which of its contexts, if not the current one.", rich_help_panel=_WHERE, show_default=False
    ),
]
Namespace = Annotated[
    str | None,
    typer.Option(
        "--namespace",
        "-n",
        help="Namespace, if not the context's.",
        rich_help_panel=_WHERE,
        show_default=False,
    ),
]
Name = Annotated[str, typer.Argument(help="Name of what was deployed.", show_default=False)]


@told
def run(  # noqa: PLR0917 - the command's flags, all of them by name
    image: Annotated[str, typer.Argument(help="Image, as the cluster's nodes pull it.", show_default=False)],
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = None,
    create_namespace: Annotated[
        bool, typer.Option("--create-namespace", help="Make it if it is missing.", rich_help_panel=_WHERE)
    ] = False,
    name: ObjectName = None,
    replicas: Replicas = None,
    service_type: Annotated[
        ServiceType | None,
        typer.Option(
            help="How it is reached; ClusterIP if not said.", show_default=False, rich_help_panel=_WHAT
        ),
    ] = None,
    settings: SetValues = None,
    values: ValueFiles = None,
    admin_password_from: AdminPasswordFrom = None,
    password_stdin: PasswordStdin = False,
    pull_secret: Annotated[
        list[str] | None,
        typer.Option(
            help="A secret that exists, to pull the image with; repeatable.",
            show_default=False,
            rich_help_panel=_SECRETS,
        ),
    ] = None,
    registry_username: Annotated[
        str | None,
        typer.Option(
            help="Account at the image's registry, of which a pull secret is made.",
            show_default=False,
            rich_help_panel=_SECRETS,
        ),
    ] = None,
    registry_password_from: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Its password: the file's first line, or GRISTMILL_REGISTRY_PASSWORD.",
            show_default=False,
            rich_help_panel=_SECRETS,
        ),
    ] = None,
    registry_password_stdin: Annotated[
        bool,
        typer.Option(
            "--registry-password-stdin",
            help="Its password: the first line of standard input.",
            rich_help_panel=_SECRETS,
        ),
    ] = False,
    timeout: Annotated[
        float, typer.Option(min=1, help="Seconds until it has to be ready.", rich_help_panel=_WAIT)
    ] = 600,
    patience: Annotated[
        float, typer.Option(min=0, help="Seconds that a pod may be in trouble.", rich_help_panel=_WAIT)
    ] = 30,
    keep_failed: Annotated[
        bool,
        typer.Option(
            "--keep-failed", help="Leave what does not get ready, to look at.", rich_help_panel=_WAIT
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the objects, secrets hidden, and send nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Put an image onto a Kubernetes cluster, and wait until it is ready.

    The first time a password for admin and a key for tokens are made, and kept in a secret. Later deployments
    under the same name are rolling updates: of one box the pod is replaced, of replicas one after the other.

    [dim]Examples:[/dim]

      gristmill deploy registry.example.com/bos-rf:1.0.0 --namespace models --create-namespace

      gristmill deploy demo.azurecr.io/bos-rf:1.1.0 -n models --service-type LoadBalancer

      gristmill deploy demo.azurecr.io/bos-rf:1.1.0 -n models --replicas 3 --set database.existingSecret=pg

      echo "$PASSWORD" | gristmill deploy bos-rf:1.0.0 --password-stdin --dry-run
    """
    from gristmill.deploy.kubernetes.planning import planned

    if password_stdin and registry_password_stdin:
        fail("standard input holds one password: give the other by a file", Exit.USAGE)
    plan = planned(
        image,
        name=name,
        replicas=replicas,
        service_type=service_type.value if service_type else None,
        pull_secrets=pull_secret or (),
        login=login_of(registry_username, registry_password_from, stdin=registry_password_stdin),
        admin_password=admin_password_of(admin_password_from, stdin=password_stdin),
        files=values or (),
        settings=settings or (),
    )
    if dry_run:
        print_objects(plan, namespace)
        return
    with _cluster(kubeconfig, context, namespace) as cluster:
        _deploy(cluster, plan, create_namespace, keep_failed, timeout, patience, as_json=as_json)


@told
def status(
    name: Annotated[str | None, typer.Argument(help="Show this one.", show_default=False)] = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = None,
    as_json: AsJson = False,
) -> None:
    """Show what is deployed in a namespace, or how one deployment is, down to its pods.

    Ends with 1 if what is named is not ready.

    [dim]Examples:[/dim]

      gristmill deploy status --namespace models

      gristmill deploy status bos-rf -n models
    """
    from gristmill.deploy.kubernetes.reporting import report, reports

    with _cluster(kubeconfig, context, namespace) as cluster:
        found = [report(cluster, name, cluster.namespace)] if name else reports(cluster, cluster.namespace)
    if as_json:
        print_json([as_plain(each) for each in found] if name is None else as_plain(found[0]))
    elif name is None:
        headers = ("NAME", "IMAGE", "READY", "ADDRESS", "BY")
        empty = f"Nothing is deployed in the namespace {cluster.namespace}: gristmill deploy --help"
        print_table(headers, map(row_of, found), empty=empty)
    else:
        show(found[0])
    if name is not None and not found[0].rollout.done:
        raise typer.Exit(Exit.FAILED)


@told
def delete(
    name: Name,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = None,
    volumes: Annotated[
        bool, typer.Option("--volumes", help="Its volumes too, with everything that was published.")
    ] = False,
    yes: Yes = False,
) -> None:
    """Take a deployment away; its volumes stay unless --volumes is said.

    [dim]Example:[/dim]

      gristmill deploy delete bos-rf --namespace models --yes
    """
    from gristmill.deploy.kubernetes.release import label_name
    from gristmill.deploy.kubernetes.removing import remove

    label_name(name, "the name", 52)
    with _cluster(kubeconfig, context, namespace) as cluster:
        also = " with its volumes, and so everything that was published" if volumes else ""
        where = f"{cluster.namespace} ({cluster.kubeconfig.server})"
        confirmed(f"Delete {name} in the namespace {where}{also}?", yes=yes)
        for each in remove(cluster, name, cluster.namespace, volumes=volumes):
            typer.echo(f"Deleted {each}.")


def _cluster(kubeconfig: Path | None, context: str | None, namespace: str | None) -> Cluster:
    from gristmill.deploy.kubernetes.release import label_name

    if namespace is not None:
        label_name(namespace, "the namespace")
    try:
        from gristmill.deploy.kubernetes import Cluster

        return Cluster(kubeconfig, context=context, namespace=namespace)
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("gristmill"):
            raise
        fail(f"{missing.name} is not installed: pip install 'gristmill[kubernetes]'", Exit.USAGE)


def _deploy(
    cluster: Cluster,
    plan: Plan,
    create_namespace: bool,
    keep_failed: bool,
    timeout: float,
    patience: float,
    *,
    as_json: bool,
) -> None:
    from gristmill.deploy.kubernetes.deploying import deploy
    from gristmill.deploy.kubernetes.waiting import Patience

    with following(plan.name) as (watch, say):
        done = deploy(
            cluster,
            plan,
            create_namespace=create_namespace,
            keep_failed=keep_failed,
            patience=Patience(whole=timeout, trouble=patience),
            watch=watch,
            tell=say,
        )
    if as_json:
        print_json(
            {
                "name": done.name,
                "namespace": done.namespace,
                "image": done.image,
                "url": done.address.url,
                "advice": done.address.advice,
            }
        )
        return
    typer.echo(f"{done.name} runs {done.image}.")
    typer.echo(f"Address: {done.address.url or done.address.advice}")
    if done.first and done.secret:
        typer.echo(f"Password of admin: {password_command(done.namespace, done.secret)}")


def add_commands(app: typer.Typer) -> None:
    """Register them."""
    deploy_app.command()(run)
    deploy_app.command()(status)
    deploy_app.command()(delete)
    app.add_typer(deploy_app, name="deploy", rich_help_panel="Ship it")
