#!/usr/bin/env python3
"""Weigh the images layer by layer, and time a container from `docker run` until it is ready."""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import httpx
import typer
from harness.console import CACHE, console, machine, output_folder, progress
from harness.home import HERE, Unavailable
from harness.processes import free_port
from harness.report import replace_section, table
from rich.markup import escape
from rich.table import Table

EXAMPLES = """
The images must have been built: `scripts/image`. Sizes are what a registry keeps of each layer, which is
what is fetched: the images are pushed to Debian's docker-registry on the loopback interface. With `--bundle`
the folder is published at start; its model is made first, by its own script, in the image itself.

The figures of the README: `image.py --bundle examples/boston-r --update-readme`
"""
ROOT = HERE.parent
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
#: Megabytes packed, and seconds until ready.
BOUNDS = {"python": (250, 3.0), "r": (450, 5.0)}
UNPRIVILEGED = ("--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--security-opt=no-new-privileges")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One of an image: megabytes as it is fetched, and what made it."""

    megabytes: float
    made_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Seconds from `docker run` on."""

    image: str
    what: str  #: with a service, or without
    created: float  #: the client had done its part
    ready: float


def docker(*words: str) -> str:
    """What it printed. Raises Unavailable with its own words."""
    try:
        ended = subprocess.run(["docker", *words], capture_output=True, text=True, check=False)
    except OSError as error:
        raise Unavailable(f"cannot run docker: {error}") from error
    if ended.returncode:
        raise Unavailable(f"docker {words[0]}: {ended.stderr.strip()}")
    return ended.stdout.strip()


@contextlib.contextmanager
def registry(folder: Path) -> Iterator[httpx.Client]:
    """One that keeps all in `folder`, and a client of it."""
    address = f"127.0.0.1:{free_port()}"
    storage = {"filesystem": {"rootdirectory": str(folder / "images")}}
    settings = {"version": "0.1", "log": {"level": "warn"}, "storage": storage, "http": {"addr": address}}
    (folder / "settings.json").write_text(json.dumps(settings))
    try:
        with (folder / "registry.log").open("w") as log:
            command = ["docker-registry", "serve", str(folder / "settings.json")]
            process = subprocess.Popen(command, stdout=log, stderr=log)
    except OSError as error:
        raise Unavailable(f"docker-registry: {error}; scripts/setup-containers brings it") from error
    try:
        with httpx.Client(base_url=f"http://{address}/v2/") as client:
            until(lambda: client.get("").status_code == 200, "the registry")
            yield client
    finally:
        process.terminate()
        process.wait()


def until(true: Any, what: str, seconds: float = 60) -> None:
    """Return when `true()` is; Unavailable when that takes too long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if true():
                return
        time.sleep(0.002)
    raise Unavailable(f"{what} was not ready within {seconds:.0f} s")


def weigh(image: str, client: httpx.Client) -> list[Layer]:
    """Its layers, from the base on, with the step that made each."""
    there = f"{client.base_url.netloc.decode()}/{image}"
    docker("tag", image, there)
    try:
        docker("push", "--quiet", there)
    finally:
        docker("rmi", there)
    name, tag = image.split(":")
    manifest = client.get(f"{name}/manifests/{tag}", headers={"Accept": MANIFEST}).raise_for_status().json()
    config = client.get(f"{name}/blobs/{manifest['config']['digest']}").raise_for_status().json()
    steps = [step.get("created_by", "") for step in config["history"] if not step.get("empty_layer")]
    return [
        Layer(megabytes=layer["size"] / 1e6, made_by=step or "base image")
        for layer, step in zip(manifest["layers"], steps, strict=True)
    ]


def start(image: str, what: str, mounts: list[str]) -> Start:
    """Start it as a careful administrator would, on the machine's own network, and remove it."""
    port = free_port()
    settings = ["--env=GRISTMILL_HOST=127.0.0.1", f"--env=GRISTMILL_PORT={port}"]
    began = time.perf_counter()
    name = docker("run", "--detach", "--network=host", *UNPRIVILEGED, *settings, *mounts, image)
    created = time.perf_counter() - began
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", verify=False) as client:
            until(lambda: client.get("/health/ready").status_code == 200, image)
        return Start(image=image, what=what, created=created, ready=time.perf_counter() - began)
    except Unavailable as error:
        raise Unavailable(f"{error}: {docker('logs', '--tail', '5', name)}") from error
    finally:
        docker("rm", "--force", "--volumes", name)


def prepare(bundle: Path, image: str, folder: Path) -> str:
    """A mount of `bundle` where the server publishes from, with the model that bos_rf.R makes."""
    place = folder / "bundle"
    place.mkdir(mode=0o755)
    for file in bundle.iterdir():
        if file.is_file():
            (place / file.name).write_bytes(file.read_bytes())
    volume = f"--volume={place}:/work"
    docker(
        *("run", "--rm", "--network=none", "--user=0", "--entrypoint=Rscript", volume, "--workdir=/work"),
        *(image, "bos_rf.R"),
    )
    return f"--volume={place}:/gristmill/publish/{bundle.name}:ro"


def measure(tag: str, starts: int, bundle: Path | None) -> tuple[dict[str, list[Layer]], list[Start]]:
    """All layers and all starts, images in turn."""
    layers: dict[str, list[Layer]] = {}
    found: list[Start] = []
    with tempfile.TemporaryDirectory() as folder, progress(10 * len(BOUNDS) + 2 * starts * 3) as spent:
        with registry(Path(folder)) as client:
            for image in BOUNDS:
                layers[image] = weigh(f"{tag}-{image}", client)
                spent(f"{image}: {sum(layer.megabytes for layer in layers[image]):.0f} MB", 10)
        cases: list[tuple[str, str, list[str]]] = [(image, "no service", []) for image in BOUNDS]
        if bundle is not None:
            cases.append(("r", bundle.name, [prepare(bundle.absolute(), f"{tag}-r", Path(folder))]))
        for number in range(1, starts + 1):
            for image, what, mounts in cases:
                once = start(f"{tag}-{image}", what, mounts)
                found.append(Start(**{**asdict(once), "image": image}))
                spent(f"start {number}, {image}, {what}: {found[-1].ready:.2f} s", 2)
    return layers, found


SIZE_HEAD = ("image", "fetched", "limit", "of it base", "largest layer")
START_HEAD = ("image", "published at start", "ready after", "slowest", "limit")


def size_rows(layers: dict[str, list[Layer]]) -> list[list[str]]:
    """Cells under `SIZE_HEAD`."""
    return [
        [
            f"`{image}`",
            f"{sum(layer.megabytes for layer in found):.0f} MB",
            f"{BOUNDS[image][0]} MB",
            f"{found[0].megabytes:.0f} MB",
            f"{max(layer.megabytes for layer in found):.0f} MB",
        ]
        for image, found in layers.items()
    ]


def start_rows(starts: list[Start]) -> list[list[str]]:
    """Cells under `START_HEAD`."""
    rows = []
    for image, what in dict.fromkeys((start.image, start.what) for start in starts):
        seconds = [start.ready for start in starts if (start.image, start.what) == (image, what)]
        bound = f"{BOUNDS[image][1]:.0f} s"
        rows.append([f"`{image}`", what, f"{median(seconds):.2f} s", f"{max(seconds):.2f} s", bound])
    return rows


def show(head: tuple[str, ...], rows: list[list[str]]) -> None:
    """A table on the terminal."""
    shown = Table(*head)
    for row in rows:
        shown.add_row(*(cell.strip("`") for cell in row))
    console.print(shown)


def main(
    *,
    tag: Annotated[
        str | None, typer.Option(help="NAME:TAG of the images, without -python and -r; else this version's.")
    ] = None,
    starts: Annotated[int, typer.Option(min=1, help="Starts of each.")] = 5,
    bundle: Annotated[
        Path | None, typer.Option(help="A folder with bos_rf.R, published at start of the image with R.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Where results go; else below the cache.")] = None,
    update_readme: Annotated[
        bool, typer.Option("--update-readme", help="Put the figures into benchmarks/README.md.")
    ] = False,
) -> None:
    from gristmill import __version__

    on = machine()
    folder = output_folder(out, CACHE, "image")
    try:
        layers, found = measure(tag or f"gristmill:{__version__}", starts, bundle)
    except Unavailable as error:
        console.print(f"[red]Cannot run:[/] {escape(str(error))}", highlight=False)
        raise typer.Exit(2) from error
    for image, parts in layers.items():
        show(("MB", f"layers of {image}"), [[f"{part.megabytes:.1f}", part.made_by[:100]] for part in parts])
    show(SIZE_HEAD, size_rows(layers))
    show(START_HEAD, start_rows(found))
    dumped = {
        "machine": on,
        "layers": {image: [asdict(part) for part in parts] for image, parts in layers.items()},
        "starts": [asdict(start) for start in found],
    }
    (folder / "image.json").write_text(json.dumps(dumped, indent=1))
    console.print(f"Everything is in {folder}: image.json", highlight=False)
    if update_readme:
        text = (
            f"Run of {on['date']} on {on['cores']} cores ({on['cpu']}), load average {on['load']} at the "
            f"start, medians of {starts} starts.\n\n"
        )
        text += table(SIZE_HEAD, size_rows(layers)) + "\n\n" + table(START_HEAD, start_rows(found))
        replace_section(HERE / "README.md", "image", text)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, rich_markup_mode="markdown")
    app.command(epilog=EXAMPLES)(main)
    app()
