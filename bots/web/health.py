"""Whether a bot is there and well, for load balancers and for Prometheus."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel

from storage.errors import StorageError
from storage.model import Counts as Kept

from ..status import BotStatus
from .callers import Reader
from .counts import Counts
from .desk import At, Desk
from .problems import problem

if TYPE_CHECKING:
    from prometheus_client import Metric

log = structlog.get_logger()
router = APIRouter(tags=["health"])

_PATIENCE = 5.0
"""Seconds in which storage must answer."""
_COUNTED = 15.0
"""Seconds for which what storage holds is not counted again."""


class Health(BaseModel):
    """It is there."""

    status: Literal["ok"] = "ok"


@router.get("/api/health")
@router.head("/api/health", include_in_schema=False)
async def health() -> Health:
    """Whether the process answers at all."""
    return Health()


@router.get("/api/ready", response_model=Health)
@router.head("/api/ready", response_model=Health, include_in_schema=False)
async def ready(desk: At) -> Health | JSONResponse:
    """Whether storage answers, so that people can be answered."""
    try:
        async with asyncio.timeout(_PATIENCE):
            await desk.store.session("ready?")
    except (StorageError, TimeoutError) as error:
        log.warning("web.unready", error=type(error).__name__)
        return problem(503, "Storage does not answer.")
    return Health()


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(request: Request, desk: At, caller: Reader) -> Response:
    """How the bot is, in figures, as Prometheus reads them."""
    from prometheus_client import CollectorRegistry, generate_latest  # nobody pays for it who is not asked

    status = await asyncio.to_thread(desk.operations.status)
    kept = await _held(request, desk)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures(list(_figures(desk, status, kept, request.scope["counts"]))))
    return Response(generate_latest(registry), media_type="text/plain; version=0.0.4; charset=utf-8")


async def _held(request: Request, desk: Desk) -> Kept:
    """What storage holds, counted at most every few seconds, however often it is asked."""
    now, state = time.monotonic(), request.app.state
    known: tuple[float, Kept] | None = state.held
    if known is None or now - known[0] > _COUNTED:
        state.held = known = (now, await desk.store.counts())
    return known[1]


class _Figures:
    """Everything that is told, as prometheus-client collects it."""

    def __init__(self, found: list[Metric]) -> None:
        self._found = found

    def collect(self) -> list[Metric]:
        return self._found


def _figures(desk: Desk, status: BotStatus, kept: Kept, counts: Counts) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily as Counter
    from prometheus_client.core import GaugeMetricFamily as Gauge
    from prometheus_client.core import InfoMetricFamily as Info

    yield Info("troupe_bot", "Which bot it is.", {"name": desk.settings.name, "version": status.version})
    yield Gauge("troupe_memory_bytes", "Memory of the bot's process alone.", status.memory_bytes)
    yield Gauge("troupe_discord_up", "Whether Discord is connected.", float(status.discord in ("ready", "connected")))
    yield Gauge("troupe_sessions_live", "Sessions that are being talked in.", status.live_sessions)
    yield Gauge("troupe_sessions_kept", "Sessions that are kept.", kept.sessions)
    yield Gauge("troupe_sessions_open", "Sessions that are kept and not closed.", kept.open_sessions)
    yield Gauge("troupe_messages_kept", "Messages that are kept.", kept.messages)
    yield Gauge("troupe_channels_kept", "Channels that were talked in.", kept.channels)
    yield Counter("troupe_restarts", "How often the bot was started again.", status.restarts)
    if status.last_backup is not None:
        made = status.last_backup.timestamp()
        yield Gauge("troupe_last_backup_seconds", "When the newest proven backup was made.", made)
    troubles = Gauge("troupe_trouble", "What somebody should look at: 1 where there is something.", labels=["what"])
    for what in ("last_error", "job_trouble", "config_trouble", "model_trouble", "backup_alarm", "transfer_trouble"):
        troubles.add_metric([what], float(bool(getattr(status, what))))
    yield troubles
    asked = Counter("troupe_web_requests", "Requests that were answered.", labels=["method", "route", "status"])
    for (method, route, code), count in sorted(counts.requests.items()):
        asked.add_metric([method, route, str(code)], count)
    yield asked
    took = Counter("troupe_web_seconds", "Seconds that answers took.", labels=["route"])
    for route, seconds in sorted(counts.seconds.items()):
        took.add_metric([route], seconds)
    yield took
    refused = Counter("troupe_web_refusals", "Requests that were turned away at the door.", labels=["why"])
    for why, count in sorted(counts.refusals.items()):
        refused.add_metric([why], count)
    yield refused
