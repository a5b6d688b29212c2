"""Whether kube-proxy hands connections to every pod: by its own counters in the node's packet filter."""

from __future__ import annotations

import re

import httpx

from tests.cluster.node import Node

__all__ = ["spread"]

CONNECTIONS = 40


def spread(node: Node, service: str, url: str, pods: int) -> str:
    """Open connections to `service` (NAMESPACE/NAME:PORT) at `url`; how many of them each pod was given."""
    before = _counts(node, service)
    for _ in range(CONNECTIONS):
        httpx.get(f"{url}/health/live", timeout=30).raise_for_status()
    after = _counts(node, service)
    given = sorted(after[pod] - before.get(pod, 0) for pod in after)
    # That one of two pods is left out by chance is one in 2 to the 39th.
    assert len(given) == pods, f"{len(given)} pods take calls, not {pods}"
    assert min(given) > 0, f"it does not balance: {given}"
    return f"{sum(given)} connections, spread {'/'.join(map(str, given))}"


def _counts(node: Node, service: str) -> dict[str, int]:
    """Connections so far by the pods' addresses: a rule of the nat table sees but the first packet."""
    rules = node.run("iptables-save", "--counters", "--table", "nat")
    rule = re.compile(rf'\[(\d+):\d+\] -A KUBE-SEP-\S+ .*"{re.escape(service)}" .*--to-destination (\S+)')
    return {address: int(count) for count, address in rule.findall(rules)}
