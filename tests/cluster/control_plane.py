"""etcd, API server, controller manager and scheduler, with RBAC on."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.cluster.certificates import Pki
from tests.cluster.node import Node

__all__ = ["start_control_plane"]


def start_control_plane(node: Node, pki: Pki, programs: Path) -> None:
    """Start them on `node`; returns when the API server is ready."""
    # In memory: a test's cluster need not outlive the machine, and each write of etcd waits for the disk.
    node.start("etcd", "etcd", "--data-dir=/run/etcd", "--logger=zap", "--log-level=warn")
    node.wait_for("etcd", lambda: _answers(node, "http://127.0.0.1:2379/health"))
    node.start("kube-apiserver", str(programs / "kube-apiserver"), *_api_server(node, pki))
    ready = "https://127.0.0.1:6443/readyz"
    node.wait_for("the API server", lambda: _answers(node, ready, pki), seconds=120)
    node.start("kube-controller-manager", str(programs / "kube-controller-manager"), *_controllers(node, pki))
    node.start(
        "kube-scheduler", str(programs / "kube-scheduler"),
        f"--kubeconfig={pki.kubeconfig('scheduler')}", "--leader-elect=false", "--port=0",
    )  # fmt: skip


def _api_server(node: Node, pki: Pki) -> list[str]:
    return [
        f"--advertise-address={node.network.node}",
        "--secure-port=6443",
        "--insecure-port=0",
        "--etcd-servers=http://127.0.0.1:2379",
        f"--service-cluster-ip-range={node.network.services}",
        f"--client-ca-file={pki.certificate('ca')}",
        f"--tls-cert-file={pki.certificate('apiserver')}",
        f"--tls-private-key-file={pki.key('apiserver')}",
        f"--kubelet-client-certificate={pki.certificate('admin')}",
        f"--kubelet-client-key={pki.key('admin')}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--service-account-key-file={pki.key('accounts')}",
        f"--service-account-signing-key-file={pki.key('accounts')}",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
    ]


def _controllers(node: Node, pki: Pki) -> list[str]:
    return [
        f"--kubeconfig={pki.kubeconfig('controller-manager')}",
        "--leader-elect=false",
        "--port=0",
        "--use-service-account-credentials=true",
        f"--service-account-private-key-file={pki.key('accounts')}",
        f"--root-ca-file={pki.certificate('ca')}",
        f"--cluster-cidr={node.network.pods}",
    ]


def _answers(node: Node, url: str, pki: Pki | None = None) -> bool:
    login = []
    if pki is not None:
        login = [
            "--cacert",
            pki.certificate("ca"),
            "--cert",
            pki.certificate("admin"),
            "--key",
            pki.key("admin"),
        ]
    command = node.command("curl", "--silent", "--fail", "--max-time", "5", *map(str, login), url)
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
