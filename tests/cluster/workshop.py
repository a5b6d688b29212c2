"""The docker that builds and pushes images: the machine's own, or one for the occasion."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.cluster.commands import run
from tests.cluster.processes import running

__all__ = ["ROOT", "base_image", "docker"]

ROOT = Path(__file__).parents[2]


@contextlib.contextmanager
def docker(cache: Path, work: Path) -> Iterator[Mapping[str, str]]:
    """Environment by which the docker command finds a daemon. One of ours keeps its images in `cache`."""
    if _answers({}):
        yield {}
        return
    environment = {"DOCKER_HOST": f"unix://{work}/docker.sock"}
    command = [
        *("dockerd", "--host", environment["DOCKER_HOST"], "--data-root", str(cache / "docker")),
        *("--exec-root", str(work / "docker"), "--pidfile", str(work / "docker.pid")),
    ]
    with _rules_put_back(), running("dockerd", command, work / "dockerd.log") as process:
        while not _answers(environment):
            if process.poll() is not None:
                raise RuntimeError(f"dockerd ended:\n{(work / 'dockerd.log').read_text()[-2000:]}")
            time.sleep(0.1)
        yield environment


def base_image(environment: Mapping[str, str]) -> str:
    """Debian, made of this machine's own packages, as an image of that daemon."""
    file = Path(run([str(ROOT / "scripts" / "base-image")]).output.strip())
    image = f"gristmill-base:{file.stem}"
    if run(["docker", "image", "inspect", image], environment=environment, check=False).status:
        run(["docker", "import", str(file), image], environment=environment)
    return image


def _answers(environment: Mapping[str, str]) -> bool:
    return run(["docker", "info"], environment=environment, check=False).status == 0


@contextlib.contextmanager
def _rules_put_back() -> Iterator[None]:
    """dockerd leaves its rules, its bridge and forwarding behind when it ends."""
    forwarding = Path("/proc/sys/net/ipv4/ip_forward")
    before, rules = forwarding.read_text(), run(["iptables-save"]).output
    bridge = Path("/sys/class/net/docker0").exists()
    try:
        yield
    finally:
        run(["iptables-restore"], input=rules)
        forwarding.write_text(before)
        if not bridge:
            subprocess.run(["ip", "link", "delete", "docker0"], capture_output=True, check=False)
