"""Who is who in the cluster: one authority, and a certificate and a kubeconfig for each part."""

from __future__ import annotations

import base64
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.network import Network

__all__ = ["Pki", "make_pki"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pki:
    """A folder with `ca`, `NAME.crt`, `NAME.key` and `NAME.kubeconfig`."""

    folder: Path
    server: str  #: URL of the API server

    def certificate(self, name: str) -> Path:
        return self.folder / f"{name}.crt"

    def key(self, name: str) -> Path:
        return self.folder / f"{name}.key"

    def kubeconfig(self, name: str) -> Path:
        return self.folder / f"{name}.kubeconfig"

    def add_user(self, name: str, *, user: str, groups: tuple[str, ...] = ()) -> None:
        """A client certificate for the API server, and the kubeconfig with it."""
        subject = "".join(f"/O={group}" for group in groups) + f"/CN={user}"
        _issue(self.folder, name, subject, "extendedKeyUsage=clientAuth\n")
        self._write_kubeconfig(name)

    def _write_kubeconfig(self, name: str) -> None:
        """JSON is YAML; all is inside, so that the file can be copied."""
        login = {
            "client-certificate-data": _base64(self.certificate(name)),
            "client-key-data": _base64(self.key(name)),
        }
        cluster = {"server": self.server, "certificate-authority-data": _base64(self.certificate("ca"))}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "gristmill", "cluster": cluster}],
            "users": [{"name": name, "user": login}],
            "contexts": [{"name": "gristmill", "context": {"cluster": "gristmill", "user": name}}],
            "current-context": "gristmill",
        }
        self.kubeconfig(name).write_text(json.dumps(config, indent=1))


def make_pki(folder: Path, network: Network, node: str) -> Pki:
    """The authority, the API server's certificate, and one for each part that talks to it."""
    folder.mkdir(mode=0o700)
    _openssl(
        folder, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "7", "-subj", "/CN=gristmill-test",
        "-keyout", "ca.key", "-out", "ca.crt",
    )  # fmt: skip
    _openssl(folder, "genrsa", "-out", "accounts.key", "2048")
    names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", node]
    addresses = [network.node, network.api_service, "127.0.0.1"]
    alternatives = ",".join([f"DNS:{name}" for name in names] + [f"IP:{address}" for address in addresses])
    _issue(
        folder,
        "apiserver",
        "/CN=kube-apiserver",
        f"extendedKeyUsage=serverAuth\nsubjectAltName={alternatives}\n",
    )
    pki = Pki(folder=folder, server=f"https://{network.node}:6443")
    pki.add_user("admin", user="admin", groups=("system:masters",))
    pki.add_user("controller-manager", user="system:kube-controller-manager")
    pki.add_user("scheduler", user="system:kube-scheduler")
    pki.add_user("kubelet", user=f"system:node:{node}", groups=("system:nodes",))
    pki.add_user("proxy", user="system:kube-proxy")
    return pki


def _issue(folder: Path, name: str, subject: str, extensions: str) -> None:
    (folder / f"{name}.ext").write_text(extensions)
    _openssl(
        folder, "req", "-newkey", "rsa:2048", "-nodes", "-subj", subject,
        "-keyout", f"{name}.key", "-out", f"{name}.csr",
    )  # fmt: skip
    _openssl(
        folder, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
        "-days", "7", "-extfile", f"{name}.ext", "-out", f"{name}.crt",
    )  # fmt: skip


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=60)


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
