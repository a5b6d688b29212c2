"""The part of a cloud that Kubernetes leaves out: an address for each Service of type LoadBalancer.

It only writes the address into the Service's status, as MetalLB's controller does. That calls to it arrive is
the work of the route that this machine has to the node, and of kube-proxy there.
"""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Iterator

import httpx

from tests.cluster.api import Api, Thing

__all__ = ["Balancer"]


class Balancer:
    """Works in a thread of its own until the API server is gone."""

    def __init__(self, api: Api, addresses: str) -> None:
        self._api = api
        self._free: Iterator[str] = (str(address) for address in ipaddress.ip_network(addresses).hosts())
        self._given: dict[str, str] = {}  # by the Service's uid

    def start(self) -> None:
        threading.Thread(target=self._run, name="balancer", daemon=True).start()

    def _run(self) -> None:
        try:
            for service in self._api.watch("services"):
                if service["spec"].get("type") == "LoadBalancer":
                    self._serve(service)
        except httpx.TransportError:
            return  # the cluster has ended

    def _serve(self, service: Thing) -> None:
        if service["status"].get("loadBalancer", {}).get("ingress"):
            return
        about = service["metadata"]
        address = self._given.setdefault(about["uid"], next(self._free))
        status = {"status": {"loadBalancer": {"ingress": [{"ip": address}]}}}
        self._api.patch("services", about["name"], status, namespace=about["namespace"], part="status")
