"""What `gristmill deploy` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from gristmill.app.client_cli_common import is_terminal, print_table

if TYPE_CHECKING:
    from gristmill.deploy.kubernetes.planning import Plan
    from gristmill.deploy.kubernetes.reporting import Report

__all__ = ["as_plain", "password_command", "print_objects", "row_of", "show"]


def print_objects(plan: Plan, namespace: str | None) -> None:
    """Print what would be applied; what is secret in it is hidden."""
    from gristmill.deploy.kubernetes.manifests import as_yaml
    from gristmill.deploy.kubernetes.objects import objects
    from gristmill.deploy.kubernetes.own_secrets import settled
    from gristmill.deploy.kubernetes.release import Release, label_name

    space = label_name(namespace or "default", "the namespace")
    release = Release(name=plan.name, namespace=space, values=plan.values, secrets=settled(plan.values, {}))
    found = objects(release)
    for each in found:
        if each["kind"] == "Secret":
            each["data"] = dict.fromkeys(each["data"], "<hidden>")
    typer.echo(as_yaml(found), nl=False)


def row_of(found: Report) -> tuple[str, ...]:
    """A line of a table."""
    ready = f"{found.rollout.ready}/{found.rollout.wanted}"
    return found.name, found.image, ready, found.address.url or "-", found.manager


def show(found: Report) -> None:
    """Print one release, for people."""
    typer.echo(typer.style(f"{found.name} in the namespace {found.namespace}", bold=is_terminal()))
    rows = [
        ("image", found.image),
        ("kind", f"{found.kind}, by {found.manager}"),
        ("state", "ready" if found.rollout.done else found.rollout.told),
        ("address", found.address.url or found.address.advice),
    ]
    rows += [(f"pod {pod.name}", f"{pod.phase}, {pod.restarts} restarts") for pod in found.rollout.pods]
    print_table((), rows)
    if found.why:
        typer.echo(f"\n{found.why}")


def as_plain(found: Report) -> dict[str, Any]:
    """For programs."""
    rollout = found.rollout
    return {
        "name": found.name,
        "namespace": found.namespace,
        "kind": found.kind,
        "image": found.image,
        "managedBy": found.manager,
        "ready": rollout.done,
        "readyReplicas": rollout.ready,
        "replicas": rollout.wanted,
        "url": found.address.url,
        "pods": [
            {"name": pod.name, "phase": pod.phase, "restarts": pod.restarts, "trouble": pod.trouble}
            for pod in rollout.pods
        ],
    }


def password_command(namespace: str, place: str) -> str:
    """The command that shows the password which was made; `place` is `secret/key`."""
    secret, _, key = place.partition("/")
    template = '{{index .data "%s" | base64decode}}' % key  # noqa: UP031 - braces are the template's
    return f"kubectl --namespace {namespace} get secret {secret} --output go-template='{template}'"
