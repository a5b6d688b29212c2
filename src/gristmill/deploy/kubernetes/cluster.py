"""A cluster, as one works with it: apply, get, delete."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gristmill.deploy.kubernetes.api import Api, Resource
from gristmill.deploy.kubernetes.errors import BadValues, NotThere
from gristmill.deploy.kubernetes.kubeconfig import load
from gristmill.deploy.kubernetes.manifests import Manifest, read
from gristmill.deploy.kubernetes.release import Object

__all__ = ["Cluster", "Listing"]

#: The path of an object is made of its name.
_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9.:_]*[A-Za-z0-9])?")


class Listing(list[Object]):
    """Objects; printed, they are the table that kubectl shows."""

    def __init__(self, objects: Iterable[Object], text: str) -> None:
        super().__init__(objects)
        self._text = text

    def __str__(self) -> str:
        return self._text

    __repr__ = __str__


class Cluster:
    """A Kubernetes cluster, by a context of a kubeconfig.

    kubeconfig: the path of a file, or its content; if not given, KUBECONFIG, ~/.kube/config, or, in a pod,
        its service account.
    context: which of its contexts, if not the current one.
    namespace: where objects are that do not say so, if not in the context's.

    Raises BadKubeconfig; calls raise ClusterUnreachable, LoginRefused, NotAllowed, NotThere, ClusterRefused.
    """

    def __init__(
        self,
        kubeconfig: Mapping[str, Any] | Path | str | None = None,
        *,
        context: str | None = None,
        namespace: str | None = None,
    ) -> None:
        self.kubeconfig = load(kubeconfig, context)
        self.namespace = namespace or self.kubeconfig.namespace
        self.api = Api(self.kubeconfig)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Cluster {self.kubeconfig.server}, namespace {self.namespace}>"

    def close(self) -> None:
        """Give the connections back."""
        self.api.close()

    def version(self) -> tuple[int, int]:
        """Of its Kubernetes: (1, 33)."""
        found = self.api.read("/version")
        major, minor = (re.match(r"\d+", str(found[part])) for part in ("major", "minor"))
        return (int(major[0]), int(minor[0])) if major and minor else (1, 0)

    def apply(
        self, manifest: Manifest, *, namespace: str | None = None, dry_run: bool = False
    ) -> list[Object]:
        """Make or change objects so that they are as a manifest says; what they are then.

        A manifest is the path of a file or folder, YAML text, an object, or several. With `dry_run` the
        cluster checks everything and keeps nothing.
        """
        return [self._apply(each, namespace, dry_run=dry_run) for each in read(manifest)]

    def get(
        self,
        kind: str,
        name: str | None = None,
        *,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
        everywhere: bool = False,
    ) -> Listing:
        """Objects of a kind, or the one of a name: `get("service")`, `get("svc/demo")`.

        Raises NotThere if one was asked for and is not there.
        """
        kind, name = _split(kind, name)
        resource = self.api.called(kind)
        space = None if everywhere else namespace or self.namespace
        table = self.api.table(resource.path(space, name), labelSelector=_selector(labels))
        return _listing(table, resource, space)

    def delete(self, what: Manifest, name: str | None = None, *, namespace: str | None = None) -> list[str]:
        """Delete what a manifest holds, or one object: `delete("deployment", "demo")`, `delete("svc/demo")`.

        Gives what was deleted, as kind/name; what was not there is no error.
        """
        if isinstance(what, str) and (name is not None or _looks_like_object(what)):
            kind, name = _split(what, name)
            if name is None:
                raise BadValues(f"which {kind}? Give its name")
            targets = [(self.api.called(kind), name, namespace or self.namespace)]
        else:
            targets = [
                (self._resource(each), each["metadata"]["name"], self._space(each, namespace))
                for each in reversed(read(what))
            ]
        return [
            f"{resource.kind}/{name}"
            for resource, name, space in targets
            if self.api.remove(resource, _checked(name), space)
        ]

    def logs(
        self, pod: str, *, namespace: str | None = None, lines: int = 100, previous: bool = False
    ) -> str:
        """The last lines that a pod wrote, or the container before its last restart."""
        path = f"/api/v1/namespaces/{namespace or self.namespace}/pods/{_checked(pod)}/log"
        return self.api.text(path, tailLines=str(lines), previous="true" if previous else None)

    def find(self, api_version: str, kind: str, name: str, *, namespace: str | None = None) -> Object | None:
        """One object as JSON, or None."""
        resource = self.api.resource(api_version, kind)
        return self.api.find(resource, _checked(name), namespace or self.namespace)

    def all(
        self,
        api_version: str,
        kind: str,
        *,
        labels: Mapping[str, str] | None = None,
        fields: str | None = None,
        namespace: str | None = None,
    ) -> list[Object]:
        """Objects of a kind as JSON; none if the cluster does not know the kind."""
        try:
            resource = self.api.resource(api_version, kind)
        except NotThere:
            return []
        path = resource.path(namespace or self.namespace)
        found = self.api.read(path, labelSelector=_selector(labels), fieldSelector=fields)
        return [{"apiVersion": api_version, "kind": kind, **each} for each in found.get("items") or []]

    def _apply(self, found: Object, namespace: str | None, *, dry_run: bool) -> Object:
        resource = self._resource(found)
        space = self._space(found, namespace) if resource.namespaced else None
        _checked(found["metadata"]["name"])
        if space is not None:
            found["metadata"]["namespace"] = space
        return self.api.apply(resource, found, space, dry_run=dry_run)

    def _resource(self, found: Object) -> Resource:
        return self.api.resource(found["apiVersion"], found["kind"])

    def _space(self, found: Object, namespace: str | None) -> str:
        return _checked(found["metadata"].get("namespace") or namespace or self.namespace)


def _split(kind: str, name: str | None) -> tuple[str, str | None]:
    if name is None and "/" in kind:
        kind, _, name = kind.partition("/")
    return kind, None if name is None else _checked(name)


def _checked(name: str) -> str:
    if _NAME.fullmatch(name) is None:
        raise BadValues(f"{name!r} is not the name of an object")
    return name


def _looks_like_object(text: str) -> bool:
    return re.fullmatch(r"[A-Za-z.]+/[-a-z0-9.]+", text) is not None and not Path(text).exists()


def _selector(labels: Mapping[str, str] | None) -> str | None:
    return ",".join(f"{key}={value}" for key, value in labels.items()) if labels else None


def _listing(table: Any, resource: Resource, namespace: str | None) -> Listing:
    if table.get("kind") != "Table":  # a server of an extension that knows no tables
        objects = table.get("items", [table])
        return Listing(objects, "\n".join(each["metadata"]["name"] for each in objects))
    rows = table.get("rows") or []
    if not rows:
        where = f" in the namespace {namespace}" if namespace and resource.namespaced else ""
        return Listing([], f"No {resource.plural}{where}.")
    shown = [index for index, each in enumerate(table["columnDefinitions"]) if not each.get("priority")]
    cells = [[table["columnDefinitions"][index]["name"].upper() for index in shown]]
    cells += [[str(row["cells"][index]) for index in shown] for row in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(len(shown))]
    lines = (
        "   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in cells
    )
    return Listing([row["object"] for row in rows], "\n".join(line.rstrip() for line in lines))
