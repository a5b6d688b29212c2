"""The runner behind `scripts/test-cluster`; see there."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.cluster import chapter_deploy, chapter_helm, chapter_images, chapter_one_box
from tests.cluster.boston import fit
from tests.cluster.cluster import Cluster, running_cluster
from tests.cluster.database import running_database
from tests.cluster.registry import running_registry
from tests.cluster.report import Report
from tests.cluster.scene import Scene
from tests.containers import docker_daemon

CHAPTERS = {"helm": chapter_helm.play, "deploy": chapter_deploy.play, "one-box": chapter_one_box.play}


def main() -> int:
    """Exit status: 0 when all steps passed."""
    parser = argparse.ArgumentParser(prog="scripts/test-cluster")
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--up", action="store_true")
    parser.add_argument("--chapter", action="append", choices=list(CHAPTERS))
    options = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        if options.up:
            return _keep_up(options.cache)
        return _play(options.cache, options.chapter or list(CHAPTERS))
    except KeyboardInterrupt:
        print("\nstopped; nothing is left running", file=sys.stderr)
        return 130


def _keep_up(cache: Path) -> int:
    with running_cluster(cache) as cluster:
        print(_how_to_use(cluster, cache), flush=True)
        while True:
            cluster.node.check()
            time.sleep(1)


def _how_to_use(cluster: Cluster, cache: Path) -> str:
    network = cluster.node.network
    return f"""The cluster is ready. In another terminal:

  export KUBECONFIG={cluster.kubeconfig}
  {cache}/bin/kubectl get nodes

Services of type LoadBalancer get an address of {network.balancers}, which this machine reaches; pods
reach this machine at {network.host}. The node has a docker of its own; to give it an image:

  docker save IMAGE | {" ".join(cluster.node.command("docker", "--host", "unix:///run/docker.sock", "load"))}

Logs are in {cluster.node.work}/programs. Ctrl-C ends it."""


def _play(cache: Path, chapters: list[str]) -> int:
    report = Report()
    with contextlib.ExitStack() as stack, report.chapter("A cluster, a registry, and images in it"):
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gm-story-")))
        with report.step("Kubernetes: from nothing to a node that is ready") as step:
            cluster = stack.enter_context(running_cluster(cache))
            step.note(cluster.version())
        with report.step("the registry, and PostgreSQL"):
            registry = stack.enter_context(running_registry(work / "registry", cluster.node))
            database = stack.enter_context(running_database(cluster.node.network))
        with report.step("two versions of the model, by R"):
            boston = fit(work)
        docker = stack.enter_context(docker_daemon())
        chapter_images.play(boston, registry, docker, report, work)
        scene = Scene(
            cluster=cluster,
            registry=registry,
            database=database,
            boston=boston,
            helm=cache.parent / "kubernetes-tools" / "helm",
        )
        for name in chapters:
            CHAPTERS[name](scene, report)
    print(report.summary(), flush=True)
    return 0 if report.all_passed else 1


if __name__ == "__main__":
    sys.exit(main())
