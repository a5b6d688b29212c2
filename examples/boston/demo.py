"""The story of scripts/demo: a server, a forest published and scored from R, one from Python, a clean end."""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

HERE = Path(__file__).resolve().parent
BIN = Path(sys.executable).parent
RSCRIPT = shutil.which("Rscript")
PORT = 12800


def headline(text: str) -> None:
    line = f"── {text} " + "─" * (76 - len(text))
    print(f"\n\033[1m{line}\033[0m" if sys.stdout.isatty() else f"\n{line}", flush=True)


def free_port() -> int:
    """The usual port, or 0 for any when somebody has it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", PORT))
        except OSError:
            return 0
    return PORT


def start(folder: Path, password: str) -> tuple[subprocess.Popen[str], str]:
    """The server's process and address, once it says that it is ready; its log goes to server.log."""
    command = ["gristmill", "serve", "--port", str(free_port()), "--data", str(folder / "data")]
    print("$", *command)
    begun = time.perf_counter()
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(
            [BIN / command[0], *command[1:]],
            env=os.environ | {"GRISTMILL_ADMIN_PASSWORD": password},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    assert server.stdout is not None
    ready = server.stdout.readline().strip()
    if not ready:
        sys.exit("the server did not start:\n" + (folder / "server.log").read_text())
    notes = [line for line in (folder / "server.log").read_text().splitlines() if line.startswith("Note:")]
    print(*notes, f"{ready} ({time.perf_counter() - begun:.1f} s)", sep="\n")
    return server, ready.split(" at ")[1].split()[0]


def run(folder: Path, program: str, *arguments: str) -> None:
    """Run one of the example's scripts and show what it prints; the demo ends if it fails."""
    print("$", Path(program).name, *arguments, flush=True)
    done = subprocess.run([program, *arguments], cwd=folder, check=False)
    if done.returncode:
        sys.exit(f"{arguments[-1]} failed\n" + (folder / "server.log").read_text())


def show_pages(url: str, password: str, services: list[str]) -> None:
    """What else the server has: a description of each service for code generators, and pages."""
    with httpx.Client(base_url=url) as client:
        login = {"username": "admin", "password": password}
        token = client.post("/login", json=login).raise_for_status().json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        for name in services:
            page = client.get(f"/api/{name}/1.0.0/swagger.json").raise_for_status()
            operation = page.json()["paths"][f"/api/{name}/1.0.0"]["post"]["operationId"]
            print(f"{page.url}  Swagger {page.json()['swagger']}, operation {operation}")
        page = client.get("/docs").raise_for_status()
        print(f"{page.url}  the whole interface, to read and to try")


def stop(server: subprocess.Popen[str]) -> None:
    server.send_signal(signal.SIGTERM)
    if server.wait(timeout=60):
        sys.exit(f"the server ended with status {server.returncode}")
    print("stopped; nothing of it is left")


def in_r(folder: Path) -> list[str]:
    headline("R: a random forest, published as bos-rf 1.0.0")
    if not RSCRIPT:
        print("There is no R here, and no right to install it: going on with Python alone.")
        return []
    run(folder, RSCRIPT, "publish.R")
    run(folder, RSCRIPT, "score.R")
    headline("R: two sets of rows as a batch")
    run(folder, RSCRIPT, "batch.R")
    by_the_package(folder, RSCRIPT)
    return ["bos-rf"]


def by_the_package(folder: Path, rscript: str) -> None:
    headline("R: by the package gristmill, in the form of scripts for mrsdeploy")
    library = folder / "library"
    library.mkdir()
    command = ["CMD", "INSTALL", "--no-docs", f"--library={library}", str(HERE.parents[1] / "r")]
    installed = subprocess.run(
        [Path(rscript).with_name("R"), *command], capture_output=True, text=True, check=False
    )
    if installed.returncode:
        print("left out, for the package cannot be installed:\n" + installed.stderr)
        return
    os.environ["R_LIBS"] = str(library)
    for source in (HERE.parent / "boston-r").glob("*.R"):
        shutil.copy(source, folder)
    run(folder, rscript, "bos_rf.R")
    run(folder, rscript, "bos_rf_deploy.R", "1.1.0")
    run(folder, rscript, "consume.R", "1.1.0")
    headline("R: the forest as a realtime service, scored without R")
    run(folder, rscript, "bos_rf_realtime.R")


def in_python(folder: Path) -> list[str]:
    headline("Python: the same with scikit-learn, as bos-rf-sklearn 1.0.0")
    run(folder, sys.executable, "publish.py")
    run(folder, sys.executable, "score.py")
    headline("Python: two sets of rows as a batch")
    run(folder, sys.executable, "batch.py")
    return ["bos-rf-sklearn"]


def story(folder: Path, *, keep: bool) -> None:
    for source in HERE.iterdir():
        if source.is_file():
            shutil.copy(source, folder)
    password = secrets.token_urlsafe(12)
    headline("A server, with the embedded database")
    server, url = start(folder, password)
    try:
        os.environ |= {"GRISTMILL_URL": url, "GRISTMILL_PASSWORD": password, "GRISTMILL_USERNAME": "admin"}
        services = in_r(folder) + in_python(folder)
        headline("To look at")
        show_pages(url, password, services)
        if keep:
            print(f"Log in as admin with {password}. Ctrl-C ends the server.", flush=True)
            signal.sigwait({signal.SIGINT, signal.SIGTERM})
        headline("The end")
        stop(server)
    finally:
        server.kill()
        server.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the server running until Ctrl-C")
    keep: bool = parser.parse_args().keep
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    if keep:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="gristmill-demo-") as folder:
        Path(folder).chmod(0o711)  # shells of a server that root starts pass through, as users of their own
        story(Path(folder), keep=keep)
    print(f"\nAll of it took {time.perf_counter() - begun:.1f} s.")


if __name__ == "__main__":
    main()
