"""What `gristmill azure deploy` does: build, make what is missing in Azure, push, run."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from gristmill.app.build_progress import following_lines, following_steps
from gristmill.app.client_cli_common import Exit, fail, note, print_json
from gristmill.app.deploy_cli_output import password_command
from gristmill.app.deploy_progress import following

if TYPE_CHECKING:
    from gristmill.deploy.azure import Azure, ContainerRegistry, KubernetesService
    from gristmill.deploy.azure.preparing import Wanted
    from gristmill.deploy.build import BuildPlan
    from gristmill.deploy.builders import Builder
    from gristmill.deploy.images import ImageReference
    from gristmill.deploy.kubernetes.deploying import Deployed
    from gristmill.deploy.kubernetes.planning import Plan

__all__ = ["Settings", "Source", "planned", "rehearse", "ship", "tell_of"]

#: Seconds for which a pod may be in trouble. A role that was only just given takes a while to be known
#: everywhere, and until then images are not pulled.
_TROUBLE, _NEW_ROLE = 30.0, 240.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Of what runs on the cluster."""

    namespace: str
    name: str | None
    replicas: int | None
    service_type: str
    settings: tuple[str, ...]
    files: tuple[Path, ...]
    password: str | None
    timeout: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What is shipped."""

    image: ImageReference
    plan: BuildPlan | None  #: where it is built of a folder
    program: str | None  #: that builds and pushes


def _builder(program: str | None) -> Builder:
    from gristmill.deploy.builders import Program, choose

    if program is not None and program not in list(Program):
        fail(f"--builder {program}: docker, podman or buildah", Exit.USAGE)
    return choose(Program(program) if program else None)


def planned(image: str, chosen: Settings) -> Plan:
    """By the chart's values; raises BadValues."""
    from gristmill.deploy.kubernetes import planning

    return planning.planned(
        image,
        name=chosen.name,
        replicas=chosen.replicas,
        service_type=chosen.service_type,
        admin_password=chosen.password,
        files=chosen.files,
        settings=chosen.settings,
    )


def ship(azure: Azure, wanted: Wanted, chosen: Settings, source: Source) -> tuple[Deployed, str]:
    """Do all of it; what runs then, and its image by digest."""
    from gristmill.deploy.azure.preparing import prepare_cluster, prepare_registry
    from gristmill.deploy.build import build

    if source.image.registry is None:
        _builder(source.program)  # so that its lack is told before anything is made in Azure
    if source.plan is not None:
        with following_steps(str(source.image)) as step:
            build(source.plan, builder=_builder(source.program), step=step)
        note(f"built {source.image}")
    group, registry = prepare_registry(azure, wanted, note)
    exact = _push(registry, source.image, source.program)
    service, new = prepare_cluster(group, registry, wanted, note)
    return _run(service, exact, chosen, _NEW_ROLE if new else _TROUBLE), exact


def _push(registry: ContainerRegistry, image: ImageReference, program: str | None) -> str:
    """The image by its digest: a tag that was moved would not be seen by the cluster."""
    from gristmill.deploy.push import push

    if image.registry == registry.login_server and (image.digest or not _is_here(image, program)):
        if image.digest:
            return str(image)
        with registry.get_docker_registry() as client:
            held = client.manifest(image.repository, image.tag or "latest").digest
        note(f"{image} is in the registry already")
        return str(image.by_digest(held))
    builder = _builder(program)
    with following_lines(f"{image} → {registry.login_server}") as tell:
        pushed = push(
            image, _target(registry, image), login=registry.credentials(), builder=builder, tell=tell
        )
    note(f"pushed {pushed.image}")
    return str(pushed.exact)


def _is_here(image: ImageReference, program: str | None) -> bool:
    """On this machine; where there is no builder, nothing is."""
    from gristmill.errors import GristmillError

    try:
        return _builder(program).image(str(image)) is not None
    except GristmillError:
        return False


def _target(registry: ContainerRegistry, image: ImageReference) -> str:
    """Where it goes: what has its full name there already keeps it."""
    return str(image) if image.registry == registry.login_server else registry.login_server


def _run(service: KubernetesService, exact: str, chosen: Settings, trouble: float) -> Deployed:
    from gristmill.deploy.kubernetes.deploying import deploy as deploy_plan
    from gristmill.deploy.kubernetes.waiting import Patience

    plan = planned(exact, chosen)
    with (
        service.get_cluster(namespace=chosen.namespace) as cluster,
        following(plan.name) as (watch, say),
    ):
        return deploy_plan(
            cluster,
            plan,
            create_namespace=True,
            patience=Patience(whole=chosen.timeout, trouble=trouble),
            watch=watch,
            tell=say,
        )


def rehearse(azure: Azure, wanted: Wanted, chosen: Settings, source: Source) -> None:
    """The requests, and beside them the commands."""
    from gristmill.deploy.azure.preparing import prepare_cluster, prepare_registry
    from gristmill.deploy.builders import Builder, Program
    from gristmill.deploy.images import Target
    from gristmill.deploy.kubernetes.objects import objects
    from gristmill.deploy.kubernetes.own_secrets import settled
    from gristmill.deploy.kubernetes.release import Release

    builder = Builder(program=Program(source.program or "docker"))
    if source.plan is not None:
        typer.echo(f"$ {shlex.join(source.plan.command(builder, 'CONTEXT'))}\n")
    group, registry = prepare_registry(azure, wanted, note)
    registry.credentials()
    there = Target.parse(_target(registry, source.image)).of(source.image)
    typer.echo(f"$ {builder.program} push {there}\n")
    service, _ = prepare_cluster(group, registry, wanted, note)
    service.kubeconfig()
    ready = planned(str(there), chosen)
    release = Release(
        name=ready.name,
        namespace=chosen.namespace,
        values=ready.values,
        secrets=settled(ready.values, {}),
    )
    typer.echo(f"Then these are applied to the namespace {chosen.namespace} of {service.name}:")
    for each in objects(release):
        typer.echo(f"  {each['kind']} {each['metadata']['name']}")


def tell_of(done: Deployed, exact: str, azure: Azure, wanted: Wanted, *, as_json: bool) -> None:
    """Print what runs now."""
    if as_json:
        print_json(
            {
                "name": done.name,
                "namespace": done.namespace,
                "image": exact,
                "url": done.address.url,
                "advice": done.address.advice,
                "cluster": wanted.cluster,
            }
        )
        return
    typer.echo(f"{done.name} runs {exact}.")
    typer.echo(f"Address: {done.address.url or done.address.advice}")
    get = f"az aks get-credentials --resource-group {wanted.group} --name {wanted.cluster}"
    if done.first and done.secret:
        typer.echo(f"Password of admin: {password_command(done.namespace, done.secret)}")
        typer.echo(f"(kubectl knows the cluster after: {get})")
