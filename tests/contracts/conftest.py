"""The stores that every promise of `storage.backend.Store` is asked of."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Literal

import pytest

import storage
from storage.backend import Store
from tests.postgres import fresh_name, postgres_url

Door = Callable[[], Awaitable[Store]]
Backend = Literal["sqlite", "sqlite in memory", "file", "postgres"]

BACKENDS: tuple[Backend, ...] = (
    "sqlite",
    "sqlite in memory",
    "file",
    "postgres",
)
LASTING = tuple(backend for backend in BACKENDS if backend != "sqlite in memory")


def opener(backend: Backend, root: Path) -> Door:
    """Opens the same store each time, one that nobody had before."""
    if backend == "postgres":
        name = fresh_name()
        return lambda: storage.connect(name, root, type="postgres", url=postgres_url())
    if backend == "sqlite in memory":
        return lambda: storage.connect("sage", root, enabled=False)
    return lambda: storage.connect("sage", root, type=backend)


@pytest.fixture(params=BACKENDS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """A new store of each backend."""
    opened = await opener(request.param, tmp_path / "sage")()
    yield opened
    await opened.close()


@pytest.fixture(params=LASTING)
async def door(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Door]:
    """Opens the same store as often as one likes, of each backend that outlives its closing."""
    opened: list[Store] = []
    again = opener(request.param, tmp_path / "sage")

    async def enter() -> Store:
        opened.append(await again())
        return opened[-1]

    yield enter
    for each in opened:
        await each.close()
