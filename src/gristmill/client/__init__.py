"""The Python client: publish models, call services, run code in sessions."""

from __future__ import annotations

from gristmill.client.api import AsyncClient
from gristmill.client.batch import AsyncBatch, Batch, BatchProgress
from gristmill.client.blocking_api import Client
from gristmill.client.connecting import connect, connect_async
from gristmill.client.definition import Packed
from gristmill.client.result import Result
from gristmill.client.services import AsyncService, Service
from gristmill.client.sessions import AsyncSession, Session
from gristmill.client.shortcuts import (
    delete,
    list_services,
    publish,
    publish_realtime,
    redeploy,
    redeploy_realtime,
    service,
    session,
)
from gristmill.client.types import Frame

__all__ = [
    "AsyncBatch",
    "AsyncClient",
    "AsyncService",
    "AsyncSession",
    "Batch",
    "BatchProgress",
    "Client",
    "Frame",
    "Packed",
    "Result",
    "Service",
    "Session",
    "connect",
    "connect_async",
    "delete",
    "list_services",
    "publish",
    "publish_realtime",
    "redeploy",
    "redeploy_realtime",
    "service",
    "session",
]
