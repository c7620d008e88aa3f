"""Serves one bot's web front on its port, inside the bot's own loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import structlog
import uvicorn

from ..status import Report
from . import connections
from .app import create_app
from .desk import Desk
from .office import Office
from .talking import Talking

log = structlog.get_logger()

_SEEN_OFF = 2
"""Seconds that requests under way have when the bot goes."""


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the bot's own affair."""
        yield


async def serve(desk: Desk, report: Report) -> None:
    """Serves until cancelled. A port that cannot be had is reported, and the bot goes on without."""
    web = desk.settings.web
    try:
        listening = _bound(web.host, web.port or 0)
    except OSError as error:
        trouble = f"{web.host}:{web.port} cannot be had ({error.strerror}): set web.port in the bot's file."
        log.warning("web.off", why=trouble)
        report({"web": "", "web_trouble": trouble})
        return
    app = create_app(desk)
    talking: Talking = app.state.talking
    office: Office = app.state.office
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="warning",
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=_SEEN_OFF,
        **connections.options(),
    )
    server = _Server(config)
    address = web.model_copy(update={"port": listening.getsockname()[1]}).address
    report({"web": address, "web_trouble": ""})
    log.info("web.open", at=address)
    owed = asyncio.ensure_future(talking.answer_owed())
    serving = asyncio.ensure_future(server.serve([listening]))
    try:
        await asyncio.shield(serving)
    finally:
        owed.cancel()
        await talking.close()
        await office.works.close()
        serving.cancel()
        await asyncio.wait((owed, serving))
        if server.started:
            await server.shutdown([listening])
        listening.close()


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(1024)
        listening.setblocking(False)
    except BaseException:
        listening.close()
        raise
    return listening
