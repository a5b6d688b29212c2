"""A Kubernetes API server in the test's own process, with as much of its controllers as a rollout shows.

It keeps objects; what is applied replaces what was. A workload gets pods after its image's tag: `good` ones,
and those by digest, are ready; `crash`, `missing` and `huge` ones never are.
"""

from __future__ import annotations

import copy
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

__all__ = ["FakeKubernetes", "running"]

Object = dict[str, Any]
KINDS: dict[str, list[tuple[str, str, bool]]] = {
    "v1": [
        ("namespaces", "Namespace", False), ("pods", "Pod", True), ("services", "Service", True),
        ("secrets", "Secret", True), ("serviceaccounts", "ServiceAccount", True), ("events", "Event", True),
        ("persistentvolumeclaims", "PersistentVolumeClaim", True), ("nodes", "Node", False),
        ("configmaps", "ConfigMap", True),
    ],
    "apps/v1": [
        ("deployments", "Deployment", True), ("statefulsets", "StatefulSet", True),
        ("replicasets", "ReplicaSet", True), ("controllerrevisions", "ControllerRevision", True),
    ],
    "networking.k8s.io/v1": [("networkpolicies", "NetworkPolicy", True), ("ingresses", "Ingress", True)],
    "policy/v1": [("poddisruptionbudgets", "PodDisruptionBudget", True)],
    "autoscaling/v2": [("horizontalpodautoscalers", "HorizontalPodAutoscaler", True)],
}  # fmt: skip
SHORT = {"services": ["svc"], "pods": ["po"], "deployments": ["deploy"]}


class FakeKubernetes:
    """What is there, by path; and what was asked."""

    def __init__(self) -> None:
        self.objects: dict[str, Object] = {}
        self.asked: list[str] = []
        self.token = "right"
        self.forbidden: set[str] = set()  #: paths that answer 403
        self.failures: list[int] = []  #: statuses to answer first
        self.version = {"major": "1", "minor": "33+"}
        self.put("/api/v1/namespaces/default", {"kind": "Namespace", "metadata": {"name": "default"}})
        self._numbers = iter(range(1, 100_000))

    def put(self, path: str, found: Object) -> None:
        self.objects[path] = found

    def of_kind(self, kind: str) -> list[Object]:
        return [each for each in self.objects.values() if each["kind"] == kind]

    def apply(self, path: str, found: Object) -> Object:
        old = self.objects.get(path)
        metadata = {"uid": f"uid-{next(self._numbers)}", "generation": 0, **(old or {}).get("metadata", {})}
        changed = old is None or old.get("spec") != found.get("spec")
        metadata |= found["metadata"] | {"generation": metadata["generation"] + changed}
        new = {**found, "metadata": metadata}
        if old and "status" in old:
            new["status"] = old["status"]
        self.objects[path] = new
        if found["kind"] == "Service" and found["spec"]["type"] == "LoadBalancer":
            new["status"] = {"loadBalancer": {"ingress": [{"ip": "192.0.2.7"}]}}
        if found["kind"] in {"StatefulSet", "Deployment"}:
            self._roll_out(path, new)
        return new

    def _roll_out(self, path: str, workload: Object) -> None:
        root, plural, name = path.rsplit("/", 2)
        template = workload["spec"]["template"]
        revision = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:10]
        image = template["spec"]["containers"][0]["image"]
        tag = "good" if "@" in image else image.rsplit(":", 1)[-1]
        good = tag.startswith("good")
        wanted = workload["spec"].get("replicas", 1)
        status = workload.setdefault("status", {})
        status |= {"observedGeneration": workload["metadata"]["generation"], "updatedReplicas": wanted}
        stateful = plural == "statefulsets"
        label = "controller-revision-hash" if stateful else "pod-template-hash"
        self._remember(root, workload, revision, label, wanted if good else 0)
        if stateful:
            status["updateRevision"] = f"{name}-{revision}"
            if good:
                status["currentRevision"] = f"{name}-{revision}"
        status["readyReplicas"] = wanted if good or (not stateful and status.get("readyReplicas")) else 0
        pods = root.replace("/apis/apps/v1", "/api/v1") + "/pods"
        kept = {} if good or stateful else {p: o for p, o in self.objects.items() if self._is_good(p, pods)}
        for each in [p for p in self.objects if p.startswith(f"{pods}/{name}-") and p not in kept]:
            del self.objects[each]
        value = f"{name}-{revision}" if stateful else revision
        for number in range(wanted if good or stateful else 1):
            pod_name = f"{name}-{number}" if stateful else f"{name}-{revision}-{number}"
            pod = copy.deepcopy(template)
            pod["metadata"] |= {"name": pod_name, "uid": f"uid-{next(self._numbers)}"}
            pod["metadata"]["labels"][label] = value
            self.put(f"{pods}/{pod_name}", {"kind": "Pod", **pod, "status": pod_status(tag)})
            if not good:
                self._complain(pods, pod["metadata"])

    def _is_good(self, path: str, pods: str) -> bool:
        found = self.objects[path]
        return path.startswith(pods) and found["status"]["conditions"][0]["status"] == "True"

    def _remember(self, root: str, workload: Object, revision: str, label: str, ready: int) -> None:
        """The ReplicaSet, or ControllerRevision, of this revision; a Deployment's number goes up."""
        name, uid = workload["metadata"]["name"], workload["metadata"]["uid"]
        labels = workload["spec"]["selector"]["matchLabels"]
        template = copy.deepcopy(workload["spec"]["template"])
        metadata: Object = {"name": f"{name}-{revision}", "ownerReferences": [{"uid": uid}]}
        if workload["kind"] == "StatefulSet":
            data = {"spec": {"template": {**template, "$patch": "replace"}}}
            revisions = {"kind": "ControllerRevision", "metadata": metadata, "data": data}
            self.put(f"{root}/controllerrevisions/{name}-{revision}", revisions)
            return
        template["metadata"]["labels"][label] = revision
        annotations = workload["metadata"].setdefault("annotations", {})
        number = str(int(annotations.get("deployment.kubernetes.io/revision", "0")) + 1)
        annotations["deployment.kubernetes.io/revision"] = number
        metadata |= {
            "labels": {**labels, label: revision},
            "annotations": {"deployment.kubernetes.io/revision": number},
        }
        path = f"{root}/replicasets/{name}-{revision}"
        spec = {"template": template}
        self.put(
            path,
            {"kind": "ReplicaSet", "metadata": metadata, "spec": spec, "status": {"readyReplicas": ready}},
        )

    def _complain(self, pods: str, metadata: Object) -> None:
        name = f"{metadata['name']}.{next(self._numbers)}"
        event = {
            "kind": "Event",
            "metadata": {"name": name},
            "involvedObject": {"uid": metadata["uid"]},
            "type": "Warning",
            "reason": "Failed",
            "message": "it is a bad one",
        }
        self.put(pods.replace("/pods", f"/events/{name}"), event)


def pod_status(tag: str) -> Object:
    if tag.startswith("good"):
        return {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    not_ready = {"type": "Ready", "status": "False"}
    if tag == "huge":
        unscheduled = {"reason": "Unschedulable", "message": "0/1 nodes are available: 1 Insufficient cpu."}
        scheduled = {"type": "PodScheduled", "status": "False", **unscheduled}
        return {"phase": "Pending", "conditions": [not_ready, scheduled]}
    waiting = {"reason": "ImagePullBackOff", "message": "no such image"}
    container: Object = {"state": {"waiting": waiting}, "restartCount": 0}
    if tag == "crash":
        container = {
            "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"reason": "Error", "exitCode": 3}},
            "restartCount": 2,
        }
    return {"phase": "Pending", "conditions": [not_ready], "containerStatuses": [container]}


class _Handler(BaseHTTPRequestHandler):
    fake: FakeKubernetes
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one write: two would stall 40 ms

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_PATCH(self) -> None:
        self._answer(self._patch)

    def do_DELETE(self) -> None:
        self._answer(self._delete)

    def _answer(self, act: Any) -> None:
        url = urlsplit(self.path)
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.fake.asked.append(f"{self.command} {url.path}")
        if self.headers.get("Authorization") != f"Bearer {self.fake.token}":
            return self._say(401, {"message": "Unauthorized"})
        if self.fake.failures:
            return self._say(self.fake.failures.pop(0), {"message": "trouble in the server"})
        if url.path in self.fake.forbidden:
            return self._say(403, {"message": f"{url.path} is forbidden"})
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        status, value = act(url.path, query)
        return self._say(status, value)

    def _say(self, status: int, value: Any) -> None:
        data = value.encode() if isinstance(value, str) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain" if isinstance(value, str) else "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _get(self, path: str, query: dict[str, str]) -> tuple[int, Any]:
        if path == "/version":
            return 200, self.fake.version
        if path == "/apis":
            groups = [{"preferredVersion": {"groupVersion": each}} for each in KINDS if "/" in each]
            return 200, {"groups": groups}
        group = path.removeprefix("/apis/").removeprefix("/api/")
        if group in KINDS:
            return 200, {"resources": [_described(*each) for each in KINDS[group]]}
        if path.endswith("/log"):
            return 200, "starting\nValueError: no such model\n"
        if path in self.fake.objects:
            return 200, self._shown([self.fake.objects[path]], one=True)
        if path.rsplit("/", 1)[-1] in {plural for kinds in KINDS.values() for plural, _, _ in kinds}:
            return 200, self._shown(list(self._listed(path, query)), one=False)
        return 404, {"message": f"{path} not found"}

    def _listed(self, path: str, query: dict[str, str]) -> Iterator[Object]:
        wanted = dict(each.split("=") for each in query.get("labelSelector", "").split(",") if each)
        fields = query.get("fieldSelector", "").partition("=")
        for each, found in self.fake.objects.items():
            labels = found["metadata"].get("labels") or {}
            if each.rsplit("/", 1)[0] != path or any(labels.get(key) != wanted[key] for key in wanted):
                continue
            if fields[0] and found.get("involvedObject", {}).get("uid") != fields[2]:
                continue
            yield found

    def _shown(self, found: list[Object], *, one: bool) -> Any:
        if "as=Table" not in self.headers.get("Accept", ""):
            return found[0] if one else {"items": found}
        columns = [{"name": "Name", "priority": 0}, {"name": "Secret Column", "priority": 1}]
        rows = [{"cells": [each["metadata"]["name"], "x"], "object": each} for each in found]
        return {"kind": "Table", "columnDefinitions": columns, "rows": rows}

    def _patch(self, path: str, query: dict[str, str]) -> tuple[int, Any]:
        assert self.headers["Content-Type"] == "application/apply-patch+yaml"
        assert query["fieldManager"] == "gristmill"
        found = json.loads(self.body)
        if found["metadata"]["name"] == "refused":
            return 422, {"message": "refused is invalid: spec: Forbidden"}
        old = self.fake.objects.get(path)
        if old and found["kind"] == "StatefulSet" and _claims(old) != _claims(found):
            return 422, {"message": "spec: Forbidden: updates to statefulset spec for fields other than …"}
        if query.get("dryRun"):
            return 200, found
        return 200, self.fake.apply(path, found)

    def _delete(self, path: str, _: dict[str, str]) -> tuple[int, Any]:
        if path not in self.fake.objects:
            return 404, {"message": "not found"}
        found = self.fake.objects.pop(path)
        if found["kind"] in {"StatefulSet", "Deployment"}:
            pods = path.replace("/apis/apps/v1", "/api/v1").rsplit("/", 2)[0] + "/pods/"
            for each in [p for p in self.fake.objects if p.startswith(pods + found["metadata"]["name"])]:
                del self.fake.objects[each]
        return 200, {}


def _claims(workload: Object) -> Any:
    return workload["spec"].get("volumeClaimTemplates")


def _described(plural: str, kind: str, namespaced: bool) -> Object:
    return {
        "name": plural,
        "singularName": kind.lower(),
        "kind": kind,
        "namespaced": namespaced,
        "shortNames": SHORT.get(plural, []),
    }


@contextmanager
def running() -> Iterator[tuple[FakeKubernetes, Object]]:
    """One that runs, and a kubeconfig for it."""
    fake = FakeKubernetes()
    handler = type("Handler", (_Handler,), {"fake": fake})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    kubeconfig = {
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "here", "user": "me"}}],
        "clusters": [{"name": "here", "cluster": {"server": f"http://127.0.0.1:{server.server_address[1]}"}}],
        "users": [{"name": "me", "user": {"token": "right"}}],
    }
    try:
        yield fake, kubeconfig
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
