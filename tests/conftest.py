"""Servers and clients of the wire that several test files need."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from bots.providers.openai import OpenAI
from tests.wire.discord_client import Client, Room, running
from tests.wire.provider_server import ProviderServer


@pytest.fixture
async def server() -> AsyncIterator[ProviderServer]:
    async with ProviderServer() as server:
        yield server


@pytest.fixture
async def gpt(server: ProviderServer) -> AsyncIterator[OpenAI]:
    provider = OpenAI("gpt-4o", "key", server.openai_url)
    yield provider
    await provider.close()


@pytest.fixture
async def room() -> AsyncIterator[Room]:
    async with Room.open() as room:
        yield room


@pytest.fixture
async def client(room: Room) -> AsyncIterator[Client]:
    async with running(room) as client:
        yield client


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[None]:
    """One Chromium for all tests of this process that look at the console."""
    from tests.browser import started

    async with started():
        yield
