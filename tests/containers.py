"""A docker daemon of the tests' own, images built in it, and servers that run as containers.

The daemon has a private socket. What it has built it keeps below ~/.cache/gristmill (or XDG_CACHE_HOME), so
that the next run need not build it again; a machine without that builds all of it. Its containers
share the machine's network, so that it needs no rule in the firewall and is in nobody's way.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.servers import ADMIN_PASSWORD

__all__ = [
    "UNPRIVILEGED",
    "Container",
    "Docker",
    "cache_folder",
    "docker_daemon",
    "free_port",
    "lacking",
    "layer_sizes",
    "registry",
]

ROOT = Path(__file__).parents[1]
#: How a careful administrator runs it: no rights, and nothing to write to but the volume and /tmp.
UNPRIVILEGED = ("--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--security-opt=no-new-privileges")


def lacking() -> str | None:
    """What keeps a daemon from running here; None if nothing does."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    needed = ("docker", "dockerd", "docker-registry", "ip", "mmdebstrap")
    missing = [name for name in needed if not shutil.which(name, path=path)]
    if missing:
        return f"{', '.join(missing)} is not installed: scripts/setup-containers"
    if os.geteuid() != 0:
        return "a docker daemon needs root"
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        return "root may not mount here, and so cannot run containers"
    return None


def cache_folder() -> Path:
    """Where daemons and base images are kept between runs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gristmill"


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Docker:
    """The client of a running daemon."""

    host: str
    environment: dict[str, str] = field(repr=False)

    def __call__(self, *words: str, check: bool = True) -> str:
        """What `docker …` printed; raises RuntimeError with it when it fails."""
        ended = subprocess.run(
            ["docker", *words], env=self.environment, capture_output=True, text=True, check=False
        )
        if check and ended.returncode:
            raise RuntimeError(f"docker {' '.join(words)}: {ended.stdout}{ended.stderr}")
        return ended.stdout.strip()

    def inspect(self, name: str) -> dict[str, Any]:
        """What the daemon knows of a container or an image."""
        (found,) = json.loads(self("inspect", name))
        return dict(found)

    def base_image(self) -> str:
        """The image that ours stand on here, made of this machine's own packages."""
        file = Path(_run([ROOT / "scripts" / "base-image"], self.environment))
        tag = f"gristmill-base:{file.stem.removeprefix('base-')}-{int(file.stat().st_mtime)}"
        if not self("images", "--quiet", tag):
            self("import", str(file), tag)
        return tag

    def build(self, *targets: str, tag: str = "gristmill:test", **environment: str) -> None:
        """`scripts/image`, as a user calls it."""
        command: list[str | Path] = [
            ROOT / "scripts" / "image",
            *targets,
            "--builder",
            "docker",
            "--no-sizes",
        ]
        command += ["--base", self.base_image(), "--tag", tag, "--", "--network", "host"]
        _run(command, {**self.environment, **environment})

    @contextlib.contextmanager
    def container(
        self, image: str, *flags: str, environment: Mapping[str, str] | None = None
    ) -> Iterator[Container]:
        """A server in a container, as a careful administrator starts it; removed afterwards."""
        port = free_port()
        settings = {
            "GRISTMILL_HOST": "127.0.0.1",
            "GRISTMILL_PORT": str(port),
            "GRISTMILL_ADMIN_PASSWORD": ADMIN_PASSWORD,
            **(environment or {}),
        }
        words = [word for name, value in settings.items() for word in ("--env", f"{name}={value}")]
        name = self("run", "--detach", "--network=host", *UNPRIVILEGED, *words, *flags, image)
        try:
            yield Container(docker=self, name=name, url=f"http://127.0.0.1:{port}")
        finally:
            self("rm", "--force", "--volumes", name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One that has been started."""

    docker: Docker
    name: str
    url: str

    @property
    def state(self) -> dict[str, Any]:
        """`Running`, `ExitCode`, `Health` …"""
        return dict(self.docker.inspect(self.name)["State"])

    def log(self) -> str:
        """All that it has written, to both streams."""
        command = ["docker", "logs", self.name]
        ended = subprocess.run(
            command, env=self.docker.environment, check=True, text=True, stdout=subprocess.PIPE, stderr=-2
        )
        return ended.stdout

    def run(self, *words: str) -> str:
        """What a command in it prints."""
        return self.docker("exec", self.name, *words)

    def wait_ready(self, seconds: float = 60) -> None:
        """Returns when calls are answered; raises RuntimeError with the log when that does not come to be."""
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/health/ready").status_code == 200:
                    return
            if not self.state["Running"] or time.monotonic() > deadline:
                raise RuntimeError(f"the server is not ready:\n{self.log()}")
            time.sleep(0.05)  # there is nothing to wait on from outside

    def wait_healthy(self, seconds: float = 60) -> None:
        """Returns when docker's own check has found it healthy."""
        deadline = time.monotonic() + seconds
        while (health := self.state["Health"])["Status"] != "healthy":
            if not self.state["Running"] or time.monotonic() > deadline:
                raise RuntimeError(f"docker does not find it healthy: {health}\n{self.log()}")
            time.sleep(0.05)

    def client(self) -> httpx.Client:
        """A client that is logged in as admin; the caller's to close."""
        login = {"username": "admin", "password": ADMIN_PASSWORD}
        tokens = httpx.post(f"{self.url}/login", json=login, timeout=60).raise_for_status().json()
        bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
        return httpx.Client(base_url=self.url, headers=bearer, timeout=60)

    def end(self) -> int:
        """The exit status of one that has been asked to stop."""
        return int(self.docker("wait", self.name))


@contextlib.contextmanager
def docker_daemon() -> Iterator[Docker]:
    """Start one; another test process that wants it, too, waits until this one has stopped it."""
    kept = cache_folder() / "docker"
    kept.mkdir(parents=True, exist_ok=True)
    with (kept.parent / "docker.lock").open("w") as lock, tempfile.TemporaryDirectory() as folder:
        fcntl.flock(lock, fcntl.LOCK_EX)
        host = f"unix://{folder}/socket"
        environment = {**os.environ, "DOCKER_HOST": host, "DOCKER_CONFIG": folder}
        environment["PATH"] += ":/usr/sbin:/sbin"
        docker = Docker(host=host, environment=environment)
        with _daemon(docker, Path(folder), kept, lock.fileno()):
            yield docker
            # What builds of the last week have left makes the next one fast; older is only in the way.
            docker("image", "prune", "--force", "--filter", "until=168h")


@contextlib.contextmanager
def _daemon(docker: Docker, folder: Path, kept: Path, lock: int) -> Iterator[None]:
    # A bridge that nothing is on: with none at all, the daemon would remove another's docker0.
    bridge = f"gristmill{os.getpid() % 100_000}"
    command = ["setpriv", "--pdeathsig", "TERM"]  # it ends with us, even if we are killed
    command += ["dockerd", "--host", docker.host, "--data-root", str(kept), "--exec-root", f"{folder}/exec"]
    command += ["--pidfile", f"{folder}/pid", "--bridge", bridge, "--iptables=false", "--ip6tables=false"]
    command += ["--containerd-namespace", bridge, "--containerd-plugins-namespace", f"{bridge}-plugins"]
    log = folder / "log"
    _run(["ip", "link", "add", bridge, "type", "bridge"], docker.environment)
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            env=docker.environment,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C is for us alone, who end it in order
            pass_fds=[lock],  # it is the daemon that has to be gone before the next one starts
        )
    try:
        deadline = time.monotonic() + 60
        while not docker("version", "--format", "{{.Server.Version}}", check=False):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"dockerd does not start:\n{log.read_text()}")
            time.sleep(0.05)  # it says nothing when it is ready
        yield
    finally:
        process.terminate()
        process.wait()
        _run(["ip", "link", "delete", bridge], docker.environment)
        _unmount_below(folder)


def _unmount_below(folder: Path) -> None:
    """The daemon leaves the network namespace of its containers mounted."""
    mounted = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for place in reversed([place for place in mounted if Path(place).is_relative_to(folder)]):
        subprocess.run(["umount", place], check=True)


@contextlib.contextmanager
def registry(folder: Path) -> Iterator[str]:
    """Debian's docker-registry, without a login; its host and port. It keeps all in `folder`."""
    address = f"127.0.0.1:{free_port()}"
    settings = {
        "version": "0.1",
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "images")}},
        "http": {"addr": address},
    }
    (folder / "registry.json").write_text(json.dumps(settings))
    command = ["docker-registry", "serve", str(folder / "registry.json")]
    with (folder / "registry.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 30
        while True:
            with contextlib.suppress(httpx.TransportError):
                httpx.get(f"http://{address}/v2/").raise_for_status()
                break
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the registry does not start:\n{(folder / 'registry.log').read_text()}")
            time.sleep(0.05)
        yield address
    finally:
        process.terminate()
        process.wait()


def layer_sizes(address: str, repository: str, tag: str) -> list[int]:
    """Bytes of each layer as the registry keeps it, which is what a machine that pulls it fetches."""
    accept = {"Accept": "application/vnd.docker.distribution.manifest.v2+json"}
    answer = httpx.get(f"http://{address}/v2/{repository}/manifests/{tag}", headers=accept)
    return [layer["size"] for layer in answer.raise_for_status().json()["layers"]]


def _run(command: list[str | Path], environment: Mapping[str, str]) -> str:
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(f"{command[0]}: {ended.stdout[-4000:]}{ended.stderr[-4000:]}")
    return ended.stdout.strip()
