"""The live socket tells what happens as it happens, to whoever may see it; operators take a channel over."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from bots.events import Event
from bots.incoming import Incoming
from bots.values import Secret
from bots.web.live import TOO_LARGE, TOO_SLOW
from bots.web.tokens import Tokens, new_token
from storage.model import Channel, Sender
from storage.records import AuditEntry

from .speaking import Says
from .webfront import Web, web_front
from .wire.discord_client import pointed_at
from .wire.discord_model import Channel as DiscordChannel
from .wire.discord_server import DiscordServer

ANN, BEN = (Sender(type="user", id=f"id-{name}", name=name) for name in ("Ann", "Ben"))


def place(person: Sender) -> Channel:
    return Channel(front="web", id=person.id, kind="web", name=person.name, parent_id=person.id)


async def say(web: Web, person: Sender, text: str, number: int = 1) -> None:
    """Says a line in somebody's own place and waits until its answer is kept."""
    origin = f"web:{person.id}:{number}"
    async for _ in web.house.bot.receive(Incoming(origin, place(person), person, text, datetime.now(UTC))):
        pass


class Client:
    """One client of the live socket."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def next(self, *kinds: str) -> dict[str, Any]:
        """The next thing of one of these kinds, whatever comes before it."""
        async with asyncio.timeout(20):
            while True:
                told: dict[str, Any] = json.loads(await self.socket.recv())
                if told["is"] in kinds:
                    return told

    async def until(self, kind: str) -> list[dict[str, Any]]:
        """All that comes up to the next thing of a kind."""
        found: list[dict[str, Any]] = []
        async with asyncio.timeout(20):
            while not found or found[-1]["is"] != kind:
                found.append(json.loads(await self.socket.recv()))
        return found

    async def send(self, **wish: object) -> None:
        await self.socket.send(json.dumps(wish))


@asynccontextmanager
async def client(web: Web, token: str = "") -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with connect(web.url.replace("http", "ws") + "/api/live", additional_headers=headers) as socket:
        yield Client(socket)


def token_of(web: Web, person: Sender, scope: Any = "chat") -> str:
    token = new_token()
    Tokens(web.house.bot.settings.root).keep(token, "a test", scope, person, datetime.now(UTC))
    return token


async def test_an_answer_comes_word_by_word_and_then_as_it_is_kept(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web, client(web) as live:
        hello = await live.next("hello")
        assert (hello["under_way"], hello["me"]["scope"]) == ([], "admin")
        await say(web, ANN, "what is 6 * 7?")
        told = await live.until("ended")
        began = next(each for each in told if each["is"] == "began")
        line, answer = [each for each in told if each["is"] == "said"]
        words = "".join(each["text"] for each in told if each["is"] == "more")
        assert (line["message"]["text"], line["session"]["channel"]["key"]) == ("what is 6 * 7?", "web:id-Ann")
        assert (answer["message"]["id"], answer["message"]["text"]) == (began["answer_id"], words)
        assert (began["asked"], answer["session"]["message_count"]) == ([line["message"]["id"]], 2)


async def test_who_comes_in_the_middle_of_an_answer_has_its_words_so_far(tmp_path: Path) -> None:
    model = Says()
    async with web_front(tmp_path) as web:
        web.house.bot.adopt(web.house.bot.settings, model)
        async with client(web) as first:
            asking = asyncio.ensure_future(say(web, ANN, "tell me"))
            model.words.put_nowait("half an ")
            assert (await first.next("more"))["text"] == "half an "
            async with client(web) as second:
                (under_way,) = (await second.next("hello"))["under_way"]
                assert (under_way["text"], under_way["speaker"]) == ("half an ", "Sage")
                for word in ("answer", None):
                    model.words.put_nowait(word)
                assert (await second.next("more"))["text"] == "answer"
                assert (await second.next("said"))["message"]["text"] == "half an answer"
            await asking


async def test_what_is_watched_can_be_changed_and_what_goes_on_there_comes_first(tmp_path: Path) -> None:
    model = Says()
    async with web_front(tmp_path) as web, client(web) as live:
        await live.send(do="watch", channels=["web:id-Ben"])
        assert (await live.next("standing"))["under_way"] == []
        await say(web, ANN, "what is 6 * 7?")
        web.house.bot.adopt(web.house.bot.settings, model)
        asking = asyncio.ensure_future(say(web, BEN, "tell me"))
        assert (await live.until("began"))[0]["session"]["channel"]["key"] == "web:id-Ben"
        model.words.put_nowait("half ")
        session_id = (await live.next("more"))["session_id"]
        await live.send(do="watch", sessions=[session_id])
        assert [each["text"] for each in (await live.next("standing"))["under_way"]] == ["half "]
        await live.send(do="watch", sessions=["another"])
        assert (await live.next("standing"))["under_way"] == []
        await live.send(do="ping")
        for word in ("an answer", None):
            model.words.put_nowait(word)
        await asking
        await live.send(do="ping")
        assert [each["is"] for each in [await live.next("pong", "more", "said"), await live.next("pong", "more")]] == [
            "pong",
            "pong",
        ]


async def test_one_person_hears_nothing_of_anothers_whatever_they_ask_to_watch(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        await say(web, BEN, "a secret")
        (session,) = await web.house.store.sessions("web:id-Ben")
        async with client(web, token_of(web, ANN)) as live:
            await live.next("hello")
            await live.send(do="watch", channels=["web:id-Ben", "web:id-Ann"], sessions=[session.id])
            await live.send(do="typing", session=session.id)
            assert "There is no session" in (await live.next("problem"))["detail"]
            await say(web, BEN, "another secret", 2)
            await say(web, ANN, "mine")
            told = await live.until("ended")
            assert "secret" not in json.dumps(told)
            assert {each["message"]["text"] for each in told if each["is"] == "said"} > {"mine"}


async def test_writing_and_presence_are_told_to_those_of_the_place(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        await say(web, ANN, "hello")
        (session,) = await web.house.store.sessions("web:id-Ann")
        token = token_of(web, ANN)
        async with client(web) as operator:
            await operator.next("hello")
            async with client(web, token) as ann:
                here = await operator.next("presence")
                assert (here["sender"]["name"], here["state"], here["mine"]) == ("Ann", "here", False)
                await ann.send(do="typing", session=session.id)
                typing = await operator.next("typing")
                assert (typing["sender"]["name"], typing["session_id"]) == ("Ann", session.id)
            assert (await operator.next("presence"))["state"] == "gone"


async def test_what_cannot_be_read_is_told_in_a_sentence_and_the_socket_stays(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web, client(web) as live:
        for sent in ("nonsense", "[]", "{}", '{"do":"fly"}', '{"do":"watch","sessions":[1]}', '"\\ud800"'):
            await live.socket.send(sent)
            assert (await live.next("problem"))["detail"].endswith("."), sent
            await live.send(do="ping")
            await live.next("pong")


async def test_too_much_at_once_ends_the_socket(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web, client(web) as live:
        await live.socket.send("x" * 70_000)
        with pytest.raises(ConnectionClosed):
            await live.next("pong")
        assert live.socket.close_code == TOO_LARGE


async def test_a_client_that_does_not_read_is_dropped_and_turns_go_on(tmp_path: Path) -> None:
    model = Says(*(["word " * 400] * 3_000))
    async with web_front(tmp_path) as web, client(web) as live, client(web, token_of(web, ANN)) as other:
        live.socket.transport.pause_reading()
        web.house.bot.adopt(web.house.bot.settings, model)
        async with asyncio.timeout(30):
            await say(web, BEN, "tell me all")
        live.socket.transport.resume_reading()
        with pytest.raises(ConnectionClosed):
            await live.until("never")
        assert live.socket.close_code == TOO_SLOW
        await other.send(do="ping")
        await other.next("pong")


@asynccontextmanager
async def on_discord(folder: Path, model: Says) -> AsyncIterator[tuple[Web, DiscordServer, DiscordChannel]]:
    """A bot with a web front and an account on a loopback Discord."""
    async with DiscordServer(rate_limits=False) as server:
        account = server.add_bot("token-1", "sage")
        channel = server.add_guild("Home").add_channel("general")
        discord = {"token": Secret(variable="TOKEN", value=account.token), "edit_interval": 0.5}
        with pointed_at(server):
            async with web_front(folder, discord=discord) as web:
                web.house.bot.adopt(web.house.bot.settings, model)
                await server.until_ready(account)
                yield web, server, channel


async def test_a_discord_conversation_is_seen_word_by_word_and_taken_over(tmp_path: Path) -> None:
    model = Says()
    async with on_discord(tmp_path, model) as (web, server, channel), client(web) as live:
        ana, (bot,) = server.add_person("ana"), server.bots.values()
        await server.say(ana, channel, "tell me", mentions=[bot])
        began = await live.next("began")
        for word in ("one ", "two"):
            model.words.put_nowait(word)
            assert (await live.next("more"))["text"] == word
        key, api = f"discord:{channel.id}", web.client
        (there,) = (await api.get("/api/live/channels")).json()["items"]
        assert (there["channel"]["name"], there["under_way"][0]["text"]) == ("general", "one two")
        assert (await api.post(f"/api/live/channels/{key}/stop")).json() == {"stopped": True}
        assert (await live.until("ended"))[-1]["answer_id"] == began["answer_id"]
        assert (await api.post(f"/api/live/channels/{key}/quiet", json={"minutes": 5})).json()["quiet_until"]
        assert (await live.next("quiet"))["channel"] == key
        await server.say(ana, channel, "are you there?", mentions=[bot])
        assert (await live.next("said"))["message"]["text"].endswith("are you there?")
        said = await api.post(f"/api/live/channels/{key}/messages", json={"text": "A person here."})
        assert said.json()["text"] == (await live.next("said"))["message"]["text"] == "A person here."
        last = server.messages(channel)[-1]
        assert (last.content, last.author) == ("A person here.", bot)
        assert (await api.delete(f"/api/live/channels/{key}/quiet")).json()["quiet_until"] is None
        await server.say(ana, channel, "and now?", mentions=[bot])
        model.words.put_nowait(None)
        await live.next("began")
        actions = [entry.action for entry in (await web.house.store.records(AuditEntry)).items]
        assert {"quiet", "quiet ended"} <= set(actions)
        await live.until("ended")


async def test_what_discord_refuses_is_said_in_a_sentence_and_not_kept(tmp_path: Path) -> None:
    model = Says("hello")
    async with on_discord(tmp_path, model) as (web, server, channel), client(web) as live:
        ana, (bot,) = server.add_person("ana"), server.bots.values()
        await server.say(ana, channel, "tell me", mentions=[bot])
        await live.until("ended")
        server.fail(r"POST /channels/\d+/messages", 403, times=9, code=50013)
        refused = await web.client.post(f"/api/live/channels/discord:{channel.id}/messages", json={"text": "Hm."})
        assert (refused.status_code, "Nobody saw it" in refused.json()["detail"]) == (409, True)
        page = await web.house.store.read(limit=10)
        assert all(message.text != "Hm." for message in page.items)


async def test_only_an_operator_takes_over(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        await say(web, BEN, "hello")
        headers = {"Authorization": f"Bearer {token_of(web, ANN)}"}
        for method, path in [("GET", ""), ("POST", "/web:id-Ben/quiet"), ("POST", "/web:id-Ben/stop")]:
            answer = await web.client.request(method, f"/api/live/channels{path}", headers=headers, json={})
            assert answer.status_code == 403
        unknown = await web.client.post("/api/live/channels/discord:1/quiet", json={"minutes": 1})
        assert (unknown.status_code, "Nobody has spoken" in unknown.json()["detail"]) == (404, True)


async def test_many_who_look_elsewhere_are_not_even_asked(tmp_path: Path) -> None:
    asked: list[Event] = []

    def wanted(event: Event) -> bool:
        asked.append(event)
        return True

    async with web_front(tmp_path) as web, AsyncExitStack() as lookers:
        for number in range(200):
            lookers.enter_context(web.house.bot.events.listen(wanted, at=[f"web:{number}"]))
        await say(web, ANN, "what is 6 * 7?")
        assert asked == []
