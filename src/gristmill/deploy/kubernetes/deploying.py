"""Deploy: apply, wait, and go back to what ran before if it does not get ready."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gristmill.deploy.kubernetes.address import Address, address_of
from gristmill.deploy.kubernetes.before import before, ensure_namespace, kept, rehearse
from gristmill.deploy.kubernetes.cluster import Cluster
from gristmill.deploy.kubernetes.errors import RolloutFailed
from gristmill.deploy.kubernetes.objects import objects
from gristmill.deploy.kubernetes.own_secrets import settled
from gristmill.deploy.kubernetes.planning import Plan
from gristmill.deploy.kubernetes.release import Object, Release, label_name
from gristmill.deploy.kubernetes.removing import owned, remove_objects
from gristmill.deploy.kubernetes.revisions import Revision, good_revision
from gristmill.deploy.kubernetes.rollout import Rollout
from gristmill.deploy.kubernetes.waiting import Clock, Patience, Watcher, until_ready, why

__all__ = ["Deployed", "deploy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """What runs now."""

    name: str
    namespace: str
    image: str
    address: Address
    first: bool  #: whether nothing ran under this name before
    secret: str | None  #: name and key of our own secret with the admin's password, as `name/key`


def deploy(
    cluster: Cluster,
    plan: Plan,
    *,
    namespace: str | None = None,
    create_namespace: bool = False,
    keep_failed: bool = False,
    patience: Patience | None = None,
    watch: Watcher | None = None,
    tell: Callable[[str], None] | None = None,
    clock: Clock | None = None,
) -> Deployed:
    """Put a plan onto a cluster and wait until it is ready.

    `watch` sees each look at the rollout, `tell` hears of steps. If it does not get ready, what ran before is
    put back; of a first deployment nothing is left but its volume, unless `keep_failed`. Raises
    RolloutFailed, which says why, besides what the cluster's calls raise.
    """
    space = label_name(namespace or cluster.namespace, "the namespace")
    time, say = clock or Clock(), tell or _unheard
    patience = patience or Patience()
    ensure_namespace(cluster, space, create=create_namespace)
    former = before(cluster, plan.name, space)
    good = good_revision(cluster, former) if former else None
    release = Release(
        name=plan.name,
        namespace=space,
        values=plan.values,
        secrets=settled(plan.values, kept(cluster, plan.name, space)),
        kubernetes=cluster.version(),
    )
    made = objects(release)
    here = owned(cluster, release.name, space)
    rehearse(cluster, made)
    say(f"applying {len(made)} objects to the namespace {space}")
    applied = cluster.apply(made)
    workload = next(each for each in applied if each["kind"] == release.workload_kind)
    attempt = _Attempt(cluster, release, watch or _unseen, patience, time)
    failed = attempt.wait(workload)
    if failed:
        reasons = f"{failed}\n{why(cluster, workload['kind'], plan.name, space)}"
        undone = _undo(attempt, former, good, made, here, keep_failed, say)
        raise RolloutFailed(f"{plan.name} did not get ready: {reasons}\n{undone}")
    _prune(cluster, made, here, space)
    return Deployed(
        name=plan.name,
        namespace=space,
        image=release.image,
        address=address_of(cluster, plan.name, space, wait=min(120.0, patience.whole), clock=time),
        first=former is None,
        secret=_password_place(release),
    )


@dataclass(frozen=True, slots=True)
class _Attempt:
    cluster: Cluster
    release: Release
    watch: Watcher
    patience: Patience
    clock: Clock

    def wait(self, workload: Object) -> str | None:
        return until_ready(self.cluster, workload, self.watch, self.patience, self.clock)


def _undo(
    attempt: _Attempt,
    former: Object | None,
    good: Revision | None,
    made: list[Object],
    here: list[Object],
    keep: bool,
    say: Callable[[str], None],
) -> str:
    """Undo what was applied; what there is now, for people."""
    cluster, release = attempt.cluster, attempt.release
    if keep:
        return "It is left as it is, because of --keep-failed."
    if former is None:
        say("removing what was made")
        known = {_identity(each) for each in here}
        new = [
            each for each in made if _identity(each) not in known and each["kind"] != "PersistentVolumeClaim"
        ]
        remove_objects(cluster, new, release.namespace)
        return "It was the first deployment: its objects are removed, a volume that was made is kept."
    if good is None:
        return "Nothing that ran before was ready: there is nothing to go back to."
    say(f"going back to {good.image}")
    workload = next(each for each in made if each["kind"] == release.workload_kind)
    if former["kind"] != release.workload_kind:
        remove_objects(cluster, [workload], release.namespace)
        return f"Removed again; {former['kind']} {release.name} runs {good.image} as before."
    old = {**workload, "spec": {**workload["spec"], "template": good.template}}
    applied = cluster.apply(old)[0]
    failed = attempt.wait(applied)
    if failed:
        return f"Went back to the revision before ({good.image}), which is not ready either: {failed}"
    return f"Rolled back: the revision before runs, {good.image}."


def _prune(cluster: Cluster, made: list[Object], here: list[Object], namespace: str) -> None:
    """Remove what earlier values asked for, and these do not. Volumes stay."""
    wanted = {_identity(each) for each in made}
    gone = [
        each for each in here if _identity(each) not in wanted and each["kind"] != "PersistentVolumeClaim"
    ]
    remove_objects(cluster, gone, namespace)


def _identity(found: Object) -> tuple[str, str]:
    return found["kind"], found["metadata"]["name"]


def _password_place(release: Release) -> str | None:
    admin = release.values["admin"]
    return None if admin["existingSecret"] else f"{release.name}/{admin['secretKey']}"


def _unseen(_: Rollout) -> None:
    """Nobody looks."""


def _unheard(_: str) -> None:
    """Nobody listens."""
