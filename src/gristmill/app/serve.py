"""`gristmill serve`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from gristmill.app.node import Node
    from gristmill.app.settings import Settings
    from gristmill.batches import BatchSettings
    from gristmill.launching import Limits
    from gristmill.realtime.models import RealtimeSettings
    from gristmill.web.context import Limits as WebLimits

__all__ = ["serve"]

_MIB = 1024 * 1024


def _option(names: str, text: str, panel: str, **more: Any) -> Any:
    environment = "GRISTMILL_" + names.split("/", 1)[0].lstrip("-").replace("-", "_").upper()
    return typer.Option(
        names, help=text, rich_help_panel=panel, envvar=environment, show_envvar=False, **more
    )


_SERVER, _POOL, _LIMITS, _SESSIONS = "Server", "Shells", "Limits of one shell", "Sessions"
_BATCHES, _REALTIME = "Batches", "Realtime services"


def serve(  # noqa: PLR0917 - the command's flags, all of them by name
    host: Annotated[str, _option("--host", "Address to listen on.", _SERVER)] = "127.0.0.1",
    port: Annotated[
        int, _option("--port", "Port to listen on; 0 for any.", _SERVER, min=0, max=65535)
    ] = 12800,
    data: Annotated[Path, _option("--data", "Directory that holds all state.", _SERVER)] = Path(
        "gristmill-data"
    ),
    database: Annotated[
        str | None, _option("--database", "URL of a database instead of the embedded one.", _SERVER)
    ] = None,
    database_seconds: Annotated[
        float,
        _option("--database-seconds", "What the database is given to answer; then 503.", _SERVER, min=1),
    ] = 10,
    blobs: Annotated[
        Path | None,
        _option(
            "--blobs", "Folder of contents that servers of one database share; default: DATA/blobs.", _SERVER
        ),
    ] = None,
    signing_key: Annotated[
        Path | None,
        _option("--signing-key", "PEM private key that signs tokens; made if not given.", _SERVER),
    ] = None,
    cors_origin: Annotated[
        list[str] | None,
        _option("--cors-origin", "Origin whose pages may call the API from a browser; repeatable.", _SERVER),
    ] = None,
    body_mib: Annotated[int, _option("--body-mib", "Largest body of a call, MiB.", _SERVER, min=1)] = 64,
    bodies_mib: Annotated[
        int, _option("--bodies-mib", "Bodies of calls in memory together, MiB; then 503.", _SERVER, min=1)
    ] = 2048,
    upload_mib: Annotated[
        int, _option("--upload-mib", "Largest file or object put into a session, MiB.", _SERVER, min=1)
    ] = 1024,
    max_connections: Annotated[
        int | None,
        _option(
            "--max-connections",
            "Connections at a time; default: what the limit of open files allows, up to 10000.",
            _SERVER,
            min=16,
        ),
    ] = None,
    publish: Annotated[
        Path | None,
        _option("--publish", "Folder of scripts and exported services to publish at start.", _SERVER),
    ] = None,
    publish_seconds: Annotated[
        float,
        _option("--publish-seconds", "What one script of it is given; then the server ends.", _SERVER, min=1),
    ] = 300,
    drain_seconds: Annotated[
        float, _option("--drain-seconds", "What calls in flight are given at shutdown.", _SERVER, min=0)
    ] = 30,
    log_json: Annotated[bool, _option("--log-json/--log-text", "Log as JSON lines.", _SERVER)] = False,
    log_scoring: Annotated[
        bool, _option("--log-scoring/--no-log-scoring", "Log every scoring call too.", _SERVER)
    ] = False,
    pool_initial: Annotated[
        int | None,
        _option("--pool-initial", "Shells per language at start; default: processors, 2 to 4.", _POOL, min=1),
    ] = None,
    pool_max: Annotated[
        int | None,
        _option("--pool-max", "Most shells per language; default: twice the initial.", _POOL, min=1),
    ] = None,
    queue_length: Annotated[
        int, _option("--queue-length", "Calls that may wait for a shell; more get 429.", _POOL, min=0)
    ] = 1000,
    queue_mib: Annotated[
        int, _option("--queue-mib", "Bodies of these calls together, MiB.", _POOL, min=1)
    ] = 512,
    queue_seconds: Annotated[
        float, _option("--queue-seconds", "How long a call may wait for a shell.", _POOL, min=0.1)
    ] = 30,
    dedicated_shells: Annotated[
        int, _option("--dedicated-shells", "Most shells of services' own pools together.", _POOL, min=0)
    ] = 64,
    user_dedicated_shells: Annotated[
        int, _option("--user-dedicated-shells", "Those of one user's services.", _POOL, min=0)
    ] = 32,
    python: Annotated[
        str | None, _option("--python", "Interpreter of Python services; default: the server's own.", _POOL)
    ] = None,
    r: Annotated[str | None, _option("--r", "The R program; default: the one on the PATH.", _POOL)] = None,
    threads: Annotated[int, _option("--threads", "BLAS and OpenMP threads per shell.", _POOL, min=1)] = 1,
    bubblewrap: Annotated[
        bool, _option("--bubblewrap/--no-bubblewrap", "Sandbox shells where bubblewrap works.", _POOL)
    ] = True,
    shell_network: Annotated[
        bool, _option("--shell-network/--no-shell-network", "Let user code open connections.", _POOL)
    ] = True,
    execution_seconds: Annotated[
        float, _option("--execution-seconds", "One call's run; then 504.", _LIMITS, min=0.1)
    ] = 60,
    load_seconds: Annotated[
        float, _option("--load-seconds", "Loading one service, init code included.", _LIMITS, min=1)
    ] = 120,
    memory_mib: Annotated[int, _option("--memory-mib", "Resident memory, MiB.", _LIMITS, min=256)] = 4096,
    output_mib: Annotated[int, _option("--output-mib", "One answer, MiB.", _LIMITS, min=1)] = 128,
    console_kib: Annotated[
        int, _option("--console-kib", "Console output in one answer, KiB; the rest is cut.", _LIMITS, min=1)
    ] = 1024,
    file_mib: Annotated[
        int, _option("--file-mib", "One file that user code writes, MiB.", _LIMITS, min=1)
    ] = 1024,
    processes: Annotated[int, _option("--processes", "Processes and threads.", _LIMITS, min=8)] = 64,
    max_sessions: Annotated[
        int, _option("--max-sessions", "Sessions on this server.", _SESSIONS, min=0)
    ] = 20,
    user_sessions: Annotated[int, _option("--user-sessions", "Sessions of one user.", _SESSIONS, min=0)] = 10,
    session_idle_seconds: Annotated[
        float, _option("--session-idle-seconds", "An idle session is closed after this.", _SESSIONS, min=1)
    ] = 1800,
    batch_max_parallel: Annotated[
        int, _option("--batch-max-parallel", "Most items of one batch at a time.", _BATCHES, min=1)
    ] = 64,
    batch_max_items: Annotated[
        int, _option("--batch-max-items", "Most items of one batch.", _BATCHES, min=1)
    ] = 100_000,
    batch_mib: Annotated[
        int, _option("--batch-mib", "Largest body that starts a batch, MiB.", _BATCHES, min=1)
    ] = 4096,
    batch_keep_hours: Annotated[
        float, _option("--batch-keep-hours", "An ended batch is deleted after this.", _BATCHES, min=0)
    ] = 168,
    realtime_memory_mib: Annotated[
        int, _option("--realtime-memory-mib", "Loaded models; more are dropped, MiB.", _REALTIME, min=16)
    ] = 2048,
    model_mib: Annotated[
        int, _option("--model-mib", "Largest file of a realtime model, MiB.", _REALTIME, min=1)
    ] = 512,
    realtime_threads: Annotated[
        int | None,
        _option("--realtime-threads", "Runs of a model at a time; default: processors.", _REALTIME, min=1),
    ] = None,
    admin_password: Annotated[
        str | None, typer.Option(envvar="GRISTMILL_ADMIN_PASSWORD", hidden=True, show_default=False)
    ] = None,
) -> None:
    """Start the server, on one box: accounts, services, sessions and shells in one process tree.

    The account [bold]admin[/bold] gets its password from GRISTMILL_ADMIN_PASSWORD; without it, a strong one
    is made at the first start and shown once. Every flag can be set by an environment variable: --pool-max is
    GRISTMILL_POOL_MAX. Stop it with Ctrl-C or SIGTERM: calls in flight finish.

    [dim]Examples:[/dim]

      gristmill serve
      gristmill serve --host 0.0.0.0 --data /var/lib/gristmill --pool-initial 4 --pool-max 8
    """
    settings = _settings(dict(locals()))
    _run(settings)


def _settings(given: dict[str, Any]) -> Settings:
    from gristmill.app.settings import ConnectionLimits, Settings, default_shells
    from gristmill.pool import PoolSettings
    from gristmill.pool_quota import PoolQuota
    from gristmill.sessions import SessionSettings

    initial = given["pool_initial"] or min(default_shells(), given["pool_max"] or 64)
    maximum = given["pool_max"] or 2 * initial
    if maximum < initial:
        raise typer.BadParameter(f"--pool-max {maximum} is less than --pool-initial {initial}")
    return Settings(
        host=given["host"],
        port=given["port"],
        data=given["data"],
        admin_password=given["admin_password"] or None,
        database=given["database"],
        database_seconds=given["database_seconds"],
        blobs=given["blobs"],
        signing_key=given["signing_key"],
        pool=PoolSettings(
            initial=initial,
            maximum=maximum,
            queue_length=given["queue_length"],
            queue_bytes=given["queue_mib"] * _MIB,
            queue_seconds=given["queue_seconds"],
            recycle_bytes=given["memory_mib"] * _MIB // 2,
        ),
        pools=PoolQuota(node=given["dedicated_shells"], user=given["user_dedicated_shells"]),
        shells=_limits(given),
        sessions=SessionSettings(
            maximum=given["max_sessions"],
            per_user=given["user_sessions"],
            idle_seconds=given["session_idle_seconds"],
        ),
        batches=_batches(given),
        realtime=_realtime(given),
        web=_web(given),
        python=given["python"],
        r_program=given["r"],
        threads=given["threads"],
        bubblewrap=given["bubblewrap"],
        shell_network=given["shell_network"],
        cors_origins=tuple(given["cors_origin"] or ()),
        connections=ConnectionLimits(connections=given["max_connections"] or 0),
        log_scoring=given["log_scoring"],
        log_json=given["log_json"],
        publish=given["publish"],
        publish_seconds=given["publish_seconds"],
        drain_seconds=given["drain_seconds"],
    )


def _batches(given: dict[str, Any]) -> BatchSettings:
    from gristmill.batches import BatchSettings

    return BatchSettings(
        most_parallel=given["batch_max_parallel"],
        most_items=given["batch_max_items"],
        most_bytes=given["batch_mib"] * _MIB,
        item_bytes=given["body_mib"] * _MIB,
        keep_seconds=given["batch_keep_hours"] * 3600,
    )


def _web(given: dict[str, Any]) -> WebLimits:
    from gristmill.web.context import Limits

    return Limits(
        body_bytes=given["body_mib"] * _MIB,
        bodies_bytes=given["bodies_mib"] * _MIB,
        upload_bytes=given["upload_mib"] * _MIB,
    )


def _limits(given: dict[str, Any]) -> Limits:
    from gristmill.launching import Limits

    return Limits(
        execution_seconds=given["execution_seconds"],
        load_seconds=given["load_seconds"],
        memory_bytes=given["memory_mib"] * _MIB,
        output_bytes=given["output_mib"] * _MIB,
        console_bytes=given["console_kib"] * 1024,
        file_bytes=given["file_mib"] * _MIB,
        processes=given["processes"],
    )


def _realtime(given: dict[str, Any]) -> RealtimeSettings:
    from gristmill.realtime.models import RealtimeSettings

    return RealtimeSettings(
        memory=given["realtime_memory_mib"] * _MIB,
        model_bytes=given["model_mib"] * _MIB,
        threads=given["realtime_threads"] or 0,
    )


def _run(settings: Settings) -> None:
    try:
        from gristmill.app.server import run
    except ModuleNotFoundError as missing:
        typer.secho(
            f"gristmill serve needs the server's parts ({missing.name} is not installed): "
            "pip install 'gristmill[server,shell]'",
            fg="red",
            err=True,
        )
        raise typer.Exit(2) from None
    from gristmill.app import logs
    from gristmill.app.stopping import Deadline
    from gristmill.disk import explained
    from gristmill.errors import GristmillError

    logs.set_up(as_json=settings.log_json)
    try:
        run(settings, _announce, _log_progress if settings.log_json else _show_progress, Deadline())
    except (GristmillError, OSError) as error:
        told = error if isinstance(error, GristmillError) else explained(error)
        if told is None:
            raise
        typer.secho(f"gristmill serve: {told.message}", fg="red", err=True)
        raise typer.Exit(1) from None


def _show_progress(text: str) -> None:
    typer.echo(text, err=True)


def _log_progress(text: str) -> None:
    import structlog

    structlog.get_logger("gristmill.start_up").info(text)


def _announce(node: Node, url: str) -> None:
    """Tell the administrator what he has to know, and last, in one line, that the server is ready."""
    for warning in node.warnings:
        typer.secho(f"Note: {warning}", fg="yellow", err=True)
    if node.generated_password:
        typer.echo(
            f"Made the account admin with the password {node.generated_password}\n"
            "It is not shown again. `gristmill user passwd admin` changes it.",
            err=True,
        )
    languages = " and ".join(node.languages())
    typer.echo(f"Gristmill is ready at {url} with {languages}; docs at {url}/docs")
    sys.stdout.flush()
