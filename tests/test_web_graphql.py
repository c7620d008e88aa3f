"""GraphQL over a bot, with a stock client."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from subprocess import run
from typing import Any

import pytest
from gql import Client, GraphQLRequest, gql
from gql.transport.exceptions import TransportError, TransportQueryError
from gql.transport.websockets import WebsocketsTransport
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from bots.web.tokens import Tokens, new_token
from storage.model import Channel, Sender
from storage.records import AuditEntry
from tests.webfront import Web, web_front

ANN = Sender(type="user", id="7", name="Ann")
SAY = "mutation($text: String!, $session: ID) { say(text: $text, session: $session) { session { id } %s } }"
ANSWER = "answer { id text sender { name } usage { model tokensOut costMicros } }"


@pytest.fixture
async def web(tmp_path: Path) -> AsyncIterator[Web]:
    async with web_front(tmp_path) as web:
        yield web


async def ask(web: Web, query: str, **variables: Any) -> Any:
    """What is told, or the first error."""
    answered = await web.client.post("/api/graphql", json={"query": query, "variables": variables})
    assert answered.status_code == 200, answered.text
    told = answered.json()
    return told["errors"][0] if told.get("errors") else told["data"]


@asynccontextmanager
async def subscribed(web: Web) -> AsyncIterator[Any]:
    url = f"{web.url.replace('http', 'ws')}/api/graphql"
    protocols = [WebsocketsTransport.GRAPHQLWS_SUBPROTOCOL]
    async with Client(transport=WebsocketsTransport(url=url, subprotocols=protocols)) as client:
        yield client


async def listened_to(web: Web) -> None:
    while not web.house.bot.events.listened:
        await ask(web, "{ me { bot } }")


async def test_somebody_says_something_and_reads_it_again(web: Web) -> None:
    said = (await ask(web, SAY % ANSWER, text="What is your name?"))["say"]
    assert said["answer"]["sender"]["name"] == "Sage"
    read = await ask(
        web,
        """query($id: ID!) { me { scope bot } session(id: $id) { title mine messageCount channel { kind }
        messages(first: 10) { items { role text html session { id } } older } } }""",
        id=said["session"]["id"],
    )
    assert read["me"] == {"scope": "admin", "bot": "sage"}
    lines = read["session"]["messages"]["items"]
    assert [line["role"] for line in lines] == ["user", "assistant"]
    assert (lines[1]["text"], lines[0]["html"].strip()) == (
        said["answer"]["text"],
        '<p dir="auto">What is your name?</p>',
    )


async def test_sessions_are_listed_searched_changed_and_removed(web: Web) -> None:
    ids = [(await ask(web, SAY % "", text=f"About {what}"))["say"]["session"]["id"] for what in ("bees", "ants")]
    change = (
        'mutation($id: ID!) { changeSession(id: $id, title: "Bees", tags: ["bugs"], starred: true) { title tags } }'
    )
    assert (await ask(web, change, id=ids[0]))["changeSession"] == {"title": "Bees", "tags": ["bugs"]}
    listed = await ask(
        web, "{ sessions(first: 1) { items { id } older } starred: sessions(starred: true) { items { id } } }"
    )
    assert [each["id"] for each in listed["starred"]["items"]] == [ids[0]]
    further = await ask(
        web, "query($c: String) { sessions(cursor: $c) { items { id } } }", c=listed["sessions"]["older"]
    )
    assert [each["id"] for each in listed["sessions"]["items"] + further["sessions"]["items"]] == ids[::-1]
    found = await ask(web, '{ search(q: "ants") { message { text } snippet } }')
    assert "ants" in found["search"][0]["message"]["text"]
    assert (await ask(web, "mutation($id: ID!) { deleteSession(id: $id) }", id=ids[1]))["deleteSession"]
    assert len((await ask(web, "{ sessions { items { id } } }"))["sessions"]["items"]) == 1
    assert (await ask(web, "mutation($id: ID!) { restoreSession(id: $id) { id } }", id=ids[1]))["restoreSession"]


async def test_messages_are_worded_anew_reacted_to_and_taken_away(web: Web) -> None:
    line = (await ask(web, SAY % "line { id }", text="Hello"))["say"]["line"]["id"]
    edit = """mutation($id: ID!) { rewordMessage(id: $id, text: "Good day") { text edited }
        react(id: $id, emoji: "👍") { reactions { emoji mine } } }"""
    told = await ask(web, edit, id=line)
    assert told["rewordMessage"] == {"text": "Good day", "edited": 1}
    assert told["react"]["reactions"] == [{"emoji": "👍", "mine": True}]
    assert (await ask(web, "mutation($id: ID!) { deleteMessage(id: $id) }", id=line))["deleteMessage"]
    assert (await ask(web, "query($id: ID!) { message(id: $id) { text } }", id=line))["extensions"]["status"] == 404


async def test_memories_and_usage(web: Web) -> None:
    await ask(web, SAY % "", text="Hello")
    kept = (await ask(web, 'mutation { remember(text: "I keep bees.") { id text mine } }'))["remember"]
    assert (await ask(web, "{ memories { id text } }"))["memories"][0]["text"] == kept["text"]
    assert (await ask(web, "mutation($id: ID!) { forgetMemory(id: $id) }", id=kept["id"]))["forgetMemory"]
    (today,) = (await ask(web, "{ usage { key answers costMicros } }"))["usage"]
    assert today["answers"] == 1


async def test_what_happens_is_heard_as_it_happens(web: Web) -> None:
    async with subscribed(web) as client:
        document = gql("subscription { live { kind text session { id } message { role } persona } }")
        heard = []
        telling = client.subscribe(document)
        first = asyncio.ensure_future(anext(telling))
        await listened_to(web)
        await ask(web, SAY % "", text="Hello")
        heard.append((await first)["live"])
        async for told in telling:
            heard.append(told["live"])
            if told["live"]["kind"] == "ended":
                break
        await telling.aclose()
    kinds = [each["kind"] for each in heard]
    assert [kind for kind in kinds if kind != "session"][:2] == ["said", "began"]
    assert "more" in kinds
    assert [each["message"]["role"] for each in heard if each["kind"] == "said"][:2] == ["user", "assistant"]


async def test_a_subscription_to_some_sessions_hears_no_others(web: Web) -> None:
    first, second = [(await ask(web, SAY % "", text=text))["say"]["session"]["id"] for text in ("One", "Two")]
    async with subscribed(web) as client:
        document = gql("subscription($ids: [ID!]) { live(sessions: $ids) { session { id } } }")
        request = GraphQLRequest(document, variable_values={"ids": [second]})
        telling = client.subscribe(request)
        hearing = asyncio.ensure_future(anext(telling))
        await listened_to(web)
        await ask(web, SAY % "", text="Not this.", session=first)
        await ask(web, SAY % "", text="But this.", session=second)
        assert (await hearing)["live"]["session"]["id"] == second
        await telling.aclose()


async def test_a_change_by_the_socket_is_refused_and_one_by_post_is_noted(web: Web) -> None:
    async with subscribed(web) as client:
        with pytest.raises(TransportQueryError, match="there it is noted"):
            await client.execute(gql('mutation { remember(text: "x") { id } }'))
        assert (await client.execute(gql("{ me { bot } }"))) == {"me": {"bot": "sage"}}
    await ask(web, "{ me { bot } }")
    assert (await web.house.bot.store.records(AuditEntry)).items == ()
    await ask(web, 'mutation { one: remember(text: "x") { id } two: deleteSession(id: "no-such") }')
    noted = (await web.house.bot.store.records(AuditEntry)).items
    assert {(each.action, each.target, each.details["status"]) for each in noted} == {
        ("POST /api/graphql remember", "web", 200),
        ("POST /api/graphql deleteSession", "session:no-such", 404),
    }


INNER = "messages { items { session { " * 3 + "id" + " } } }" * 3
DEEP = f"{{ sessions {{ items {{ {INNER} }} }} }}"
BOMB = "{ ...a ...a } " + " ".join(
    f"fragment {a} on Query {{ ...{b} ...{b} }}" for a, b in pairwise("abcdefghijklmnop")
)
ROUND = "{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }"


def bomb(levels: int, spreads: int) -> str:
    """Short, and without end where it is written out."""
    fragments = [f"fragment f{n} on Query {{ {f'...f{n - 1} ' * spreads} }}" for n in range(1, levels)]
    return f"{{ ...f{levels - 1} }} fragment f0 on Query {{ me {{ bot }} }} {' '.join(fragments)}"


WRONG = [
    (bomb(16, 3), "This could cost"),
    (bomb(150, 2), "This could cost"),
    ("{ sessions(first: -100) { items { messages(first: 100) { items { id text } } } } }", "This could cost"),
    ("{ __schema { types { " + "fields { type { " * 6 + "name" + " } }" * 6 + " } } }", "round in the schema"),
    (DEEP, "depth"),
    ("{ sessions(first: 100) { items { messages(first: 100) { items { id text } } } } }", "This could cost"),
    (
        "query($n: Int!) { sessions(first: $n) { items { messages(first: $n) { items { id } } } } }",
        "This could cost",
    ),
    ("{ " + " ".join(f"a{n}: me {{ bot }}" for n in range(40)) + " }", "aliases"),
    ("{ " + "me { bot } " * 2_000 + "}", "token"),
    (BOMB + " fragment p on Query { sessions { items { messages { items { html } } } } }", "This could cost"),
    (ROUND, "Cannot spread fragment"),
    ("{ nothing }", "Cannot query field"),
    ("{ sessions(first: 0) { older } }", "`first` is between 1 and 100"),
    ('{ sessions(cursor: "x") { older } }', "is not a cursor"),
    ('{ session(id: "../../x") { id } }', "There is no session"),
    ('{ usage(since: "2026-03-02T18:30:00") { key } }', "zone"),
    ('mutation { beginSession(persona: "nobody") { id } }', "Nobody here is called"),
    ('mutation { say(text: " ") { answerId } }', "Say something"),
    ("{", "Syntax Error"),
]


async def test_what_is_too_much_or_wrong_is_told_in_a_sentence(web: Web) -> None:
    for query, told in WRONG:
        error = await ask(web, query)
        assert told in error["message"], error


@pytest.mark.parametrize(
    "sent",
    ["[]", "5", '{"type": []}', '{"type": "subscribe", "id": [], "payload": {}}', '{"type": "subscribe", "id": "1"}'],
)
async def test_what_is_no_message_ends_the_socket(web: Web, sent: str) -> None:
    url, protocols = f"{web.url.replace('http', 'ws')}/api/graphql", [Subprotocol("graphql-transport-ws")]
    async with connect(url, subprotocols=protocols) as socket:
        await socket.send('{"type": "connection_init"}')
        await socket.recv()
        await socket.send(sent)
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        assert socket.close_code == 4400


async def test_who_asks_too_often_over_a_socket_is_stopped(tmp_path: Path) -> None:
    async with web_front(tmp_path, web={"requests": 10}) as web, subscribed(web) as client:
        asking = [client.execute(gql("{ me { bot } }")) for _ in range(12)]
        with pytest.raises(TransportError):
            await asyncio.gather(*asking)


async def test_somebody_else_sees_only_their_own(web: Web) -> None:
    bot, mine = web.house.bot, (await ask(web, SAY % "", text="Mine"))["say"]["session"]["id"]
    theirs = await bot.begin(Channel(front="web", id="7", kind="web", name="Ann", parent_id="7"), ANN.id)
    token = new_token()
    Tokens(bot.settings.root).keep(token, "ann", "read", ANN, datetime.now(UTC))
    for query, wanted in (
        ("{ me { person { id } } sessions { items { id } } }", [theirs.id]),
        (f'{{ session(id: "{theirs.id}") {{ id }} }}', [theirs.id]),
        (f'{{ session(id: "{mine}") {{ id }} }}', 404),
        ("{ usage { key } }", 403),
        ("{ memories(all: true) { id } }", 403),
        ('mutation { remember(text: "x") { id } }', 403),
    ):
        told = (
            await web.client.post("/api/graphql", json={"query": query}, headers={"Authorization": f"Bearer {token}"})
        ).json()
        if isinstance(wanted, int):
            assert [error["extensions"]["status"] for error in told["errors"]] == [wanted]
        else:
            assert (
                told["data"].get("session", {}).get("id") == theirs.id
                or [each["id"] for each in told["data"]["sessions"]["items"]] == wanted
            )


async def test_a_stranger_is_told_nothing(tmp_path: Path) -> None:
    async with web_front(tmp_path, web={"open": "never"}) as web:
        refused = await web.client.post("/api/graphql", json={"query": "{ __schema { types { name } } }"})
        assert refused.status_code == 401
        with pytest.raises(TransportError):
            async with subscribed(web):
                pass


def test_it_is_not_loaded_before_somebody_asks() -> None:
    said = run(
        [
            sys.executable,
            "-c",
            "import sys, bots.web.app; print([m for m in ('strawberry', 'graphql') if m in sys.modules])",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == "[]"
