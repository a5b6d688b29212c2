"""Where a release is reached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gristmill.deploy.kubernetes.cluster import Cluster
from gristmill.deploy.kubernetes.waiting import Clock

__all__ = ["Address", "address_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A URL, or what to do to have one."""

    url: str | None
    advice: str | None = None


def address_of(
    cluster: Cluster, name: str, namespace: str, *, wait: float = 0.0, clock: Clock | None = None
) -> Address:
    """Of the ingress, the load balancer or a node; a load balancer's is waited for."""
    time = clock or Clock()
    end = time.now() + wait
    ingress = cluster.find("networking.k8s.io/v1", "Ingress", name, namespace=namespace)
    if ingress is not None:
        spec = ingress["spec"]
        return Address(url=f"http{'s' if spec.get('tls') else ''}://{spec['rules'][0]['host']}")
    while True:
        service = cluster.find("v1", "Service", name, namespace=namespace)
        if service is None:
            return Address(url=None, advice=f"there is no service {name} in the namespace {namespace}")
        found = _of_service(cluster, service)
        if found.url or service["spec"]["type"] != "LoadBalancer" or time.now() >= end:
            return found
        time.sleep(1.0)


def _of_service(cluster: Cluster, service: Any) -> Address:
    metadata, spec = service["metadata"], service["spec"]
    port = spec["ports"][0]
    kubectl = f"kubectl --namespace {metadata['namespace']}"
    if spec["type"] == "LoadBalancer":
        for each in (service.get("status") or {}).get("loadBalancer", {}).get("ingress") or []:
            return Address(url=f"http://{_host(each.get('hostname') or each['ip'])}:{port['port']}")
        return Address(
            url=None,
            advice=f"the load balancer has no address yet: {kubectl} get service {metadata['name']} --watch",
        )
    if spec["type"] == "NodePort":
        node = _node(cluster)
        if node:
            return Address(url=f"http://{_host(node)}:{port['nodePort']}")
        return Address(url=None, advice=f"any node answers at port {port['nodePort']}")
    return Address(
        url=None,
        advice=(
            f"only the cluster reaches it: {kubectl} port-forward service/{metadata['name']} "
            f"12800:{port['port']}, and then http://127.0.0.1:12800; or deploy it "
            "with --service-type LoadBalancer"
        ),
    )


def _node(cluster: Cluster) -> str | None:
    """An address of a node, the outer one before the inner one; None if we may not ask for nodes."""
    from gristmill.deploy.kubernetes.errors import NotAllowed

    try:
        nodes = cluster.all("v1", "Node")
    except NotAllowed:
        return None
    found = {
        each["type"]: each["address"]
        for node in nodes
        for each in (node.get("status") or {}).get("addresses") or []
    }
    return found.get("ExternalIP") or found.get("InternalIP")


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address
