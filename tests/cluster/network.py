"""The addresses of a cluster, and the cable between this machine and its node."""

from __future__ import annotations

import ipaddress
import json
import subprocess
from dataclasses import dataclass

__all__ = ["Network", "connect", "disconnect", "free_network"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A /16 of the range for benchmarks (RFC 2544), which no real network uses."""

    number: int

    @property
    def whole(self) -> str:
        return f"198.{18 + self.number}.0.0/16"

    def _address(self, third: int, fourth: int) -> str:
        return f"198.{18 + self.number}.{third}.{fourth}"

    @property
    def host(self) -> str:
        """This machine, as the node and its pods see it."""
        return self._address(0, 1)

    @property
    def node(self) -> str:
        return self._address(0, 2)

    @property
    def pods(self) -> str:
        return self._address(16, 0) + "/20"

    @property
    def services(self) -> str:
        return self._address(32, 0) + "/20"

    @property
    def api_service(self) -> str:
        """What the first address of the services is for."""
        return self._address(32, 1)

    @property
    def balancers(self) -> str:
        """Addresses for Services of type LoadBalancer."""
        return self._address(48, 0) + "/24"

    @property
    def link(self) -> str:
        """This machine's end of the cable."""
        return f"gmhost{self.number}"


def free_network() -> Network:
    """One that no route of this machine goes to; RuntimeError when both are taken."""
    listed = json.loads(_ip("-j", "route", "show", "table", "main"))
    taken = [ipaddress.ip_network(route["dst"]) for route in listed if route["dst"] != "default"]
    for number in range(2):
        network = Network(number=number)
        if not any(ipaddress.ip_network(network.whole).overlaps(other) for other in taken):
            return network
    raise RuntimeError("198.18.0.0/15 is in use: two clusters run on this machine, or a benchmark network")


def connect(network: Network, node_pid: int) -> None:
    """Lay the cable, with routes to all that is behind the node. It vanishes with the node."""
    _ip("link", "add", network.link, "type", "veth", "peer", "name", "eth0", "netns", str(node_pid))
    _ip("address", "add", f"{network.host}/30", "dev", network.link)
    _ip("link", "set", network.link, "up")
    inside = ["nsenter", "--target", str(node_pid), "--net", "--"]
    for command in (
        ["address", "add", f"{network.node}/30", "dev", "eth0"],
        ["link", "set", "eth0", "up"],
        ["route", "add", "default", "via", network.host],
    ):
        subprocess.run([*inside, "ip", *command], check=True, timeout=30)
    for behind in (network.pods, network.services, network.balancers):
        _ip("route", "add", behind, "via", network.node)


def disconnect(network: Network) -> None:
    """Take the cable away, if the kernel has not done it yet."""
    subprocess.run(["ip", "link", "delete", network.link], capture_output=True, check=False, timeout=30)


def _ip(*arguments: str) -> str:
    return subprocess.run(
        ["ip", *arguments], check=True, stdout=subprocess.PIPE, text=True, timeout=30
    ).stdout
