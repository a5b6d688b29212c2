"""dockerd, kubelet and kube-proxy: what makes the node run pods and balance Services."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.cluster.certificates import Pki
from tests.cluster.node import Node

__all__ = ["DOCKER", "start_worker"]

DOCKER = "unix:///run/docker.sock"  #: on the node
PAUSE = "gristmill-pause:3.2"
RUNTIME = Path(__file__).with_name("runtime.py")


def start_worker(node: Node, pki: Pki, programs: Path) -> None:
    """Start them on `node`; returns when containers can be made there."""
    _start_dockerd(node)
    _import_pause(node, programs / "pause")
    networks = node.work / "cni"
    networks.mkdir()
    (networks / "10-bridge.conflist").write_text(json.dumps(_bridge(node)))
    settings = node.work / "kubelet.json"
    settings.write_text(json.dumps(_kubelet(node, pki), indent=1))
    node.start(
        "kubelet", str(programs / "kubelet"),
        f"--config={settings}", f"--kubeconfig={pki.kubeconfig('kubelet')}",
        f"--hostname-override={node.name}", f"--node-ip={node.network.node}",
        f"--docker-endpoint={DOCKER}", f"--pod-infra-container-image={PAUSE}",
        "--network-plugin=cni", f"--cni-conf-dir={networks}", "--cni-bin-dir=/usr/lib/cni",
    )  # fmt: skip
    node.start(
        "kube-proxy", str(programs / "kube-proxy"),
        f"--kubeconfig={pki.kubeconfig('proxy')}", f"--hostname-override={node.name}",
        "--proxy-mode=iptables", f"--cluster-cidr={node.network.pods}", "--oom-score-adj=0",
        # These would be set for the whole machine.
        "--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0",
        "--conntrack-tcp-timeout-close-wait=0",
    )  # fmt: skip


def _start_dockerd(node: Node) -> None:
    runtime = node.work / "runc-without-limits"
    runtime.write_text(f'#!/bin/sh\nexec /usr/bin/python3 -SE {RUNTIME} "$@"\n')
    runtime.chmod(0o755)
    node.start(
        "dockerd", "dockerd",
        "--host", DOCKER, "--data-root", "/var/lib/docker", "--exec-root", "/run/docker",
        "--pidfile", "/run/docker.pid", "--bridge", "none", "--iptables=false", "--ip-masq=false",
        "--exec-opt", "native.cgroupdriver=cgroupfs", "--oom-score-adjust", "0",
        "--add-runtime", f"loose={runtime}", "--default-runtime", "loose",
    )  # fmt: skip
    info = node.command("docker", "--host", DOCKER, "info")
    node.wait_for("dockerd", lambda: subprocess.run(info, capture_output=True, check=False).returncode == 0)


def _import_pause(node: Node, program: Path) -> None:
    """The image that holds a pod's namespaces: one static program."""
    files = subprocess.run(
        ["tar", "--create", "--directory", program.parent, program.name],
        check=True, stdout=subprocess.PIPE, timeout=60,
    )  # fmt: skip
    command = node.command(
        "docker", "--host", DOCKER, "import", "--change", 'ENTRYPOINT ["/pause"]', "-", PAUSE
    )
    subprocess.run(command, input=files.stdout, check=True, capture_output=True, timeout=60)


def _bridge(node: Node) -> dict[str, object]:
    """Debian's CNI plugins: a bridge of the node, on which a pod reaches even itself by its Service."""
    bridge = {
        "type": "bridge",
        "bridge": "pods0",
        "isGateway": True,
        "ipMasq": True,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": node.network.pods}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    return {"cniVersion": "0.3.1", "name": "pods", "plugins": [bridge]}


def _kubelet(node: Node, pki: Pki) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "x509": {"clientCAFile": str(pki.certificate("ca"))},
            "anonymous": {"enabled": False},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{node.cgroup}",
        "enforceNodeAllocatable": ["pods"],
        "failSwapOn": False,
        "oomScoreAdj": 0,
        # A disk that is nearly full is no reason to stop a test.
        "evictionHard": {"memory.available": "0%", "nodefs.available": "0%", "imagefs.available": "0%"},
        "imageGCHighThresholdPercent": 100,
        "resolvConf": "",
        "makeIPTablesUtilChains": True,
        "healthzPort": 10248,
    }
