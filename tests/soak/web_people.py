"""What people do at consoles, in two windows at once: speak, are cut off, come back, ask anew, change their minds."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from random import Random
from typing import Any

import httpx2

from .day_people import phrase
from .web_ledger import Ledger, Line

_MOVES = {"say": 60, "say twice": 6, "stop": 5, "regenerate": 9, "edit": 8, "delete": 5, "listen": 7}
_STREAM = {"Accept": "text/event-stream"}
_A_MOMENT = 0.2
"""Seconds until somebody who was cut off tries again."""
_BREATH = 0.1
"""Seconds, at most, between two things that somebody does."""
_TRIES = 1_500


class Window:
    """One browser window of somebody, over the sessions that they have."""

    def __init__(self, client: httpx2.AsyncClient, token: str, sessions: list[str], ledger: Ledger, name: str) -> None:
        self._client = client
        self._who = {"Authorization": f"Bearer {token}"}
        self._sessions = sessions
        self._ledger = ledger
        self._name = name
        self._own: list[Line] = []
        """Its lines; no other window changes them."""

    async def live(self, seed: int, over: asyncio.Event) -> None:
        """Does one thing after the other, until it is over."""
        for number in itertools.count():
            if over.is_set():
                return
            rng = Random(f"{seed}-{self._name}-{number}")
            session = rng.choice(self._sessions)
            match rng.choices(list(_MOVES), list(_MOVES.values()))[0]:
                case "say":
                    await self._say(rng, session)
                case "say twice":
                    line = self._line(rng, session)
                    await asyncio.gather(self._said(rng, line), self._said(rng, line))
                case "stop":
                    self._ledger.stop(session)
                    await self._once("POST", f"sessions/{session}/stop")
                case "regenerate":
                    await self._regenerate(rng)
                case "edit":
                    await self._edit(rng)
                case "delete":
                    await self._delete(rng)
                case "listen":
                    await self._listen(rng, session, "", None)
            await asyncio.sleep(rng.uniform(0, _BREATH))

    # -- lines

    def _line(self, rng: Random, session: str) -> Line:
        line = self._ledger.say(session, phrase(rng, 0))
        self._own.append(line)
        return line

    async def _say(self, rng: Random, session: str) -> None:
        await self._said(rng, self._line(rng, session))

    async def _said(self, rng: Random, line: Line) -> None:
        """Says a line, again and again until it is known to be kept, and hears the answer most often."""
        how = rng.choices(("stream", "wait", "leave"), (7, 2, 1))[0]
        path, body = f"sessions/{line.session}/messages", {"text": min(line.texts), "key": line.key}
        for _ in range(_TRIES):
            with suppress(httpx2.TransportError):
                if how == "stream":
                    await self._listen(rng, line.session, path, line, body)
                    return
                response = await self._client.post(
                    f"/api/chat/{path}", json={**body, "wait": how == "wait"}, headers=self._who
                )
                if self._fine(response, f"saying {line.key}"):
                    self._heard(line, response.json())
                return
            await asyncio.sleep(_A_MOMENT)
        self._ledger.findings.append(f"{line.key} could not be said at all")

    def _heard(self, line: Line, told: dict[str, Any]) -> None:
        if told["line"] is None:
            self._ledger.findings.append(f"{line.key} was taken and is not told of: {told}")
            return
        self._ledger.kept(line, told["line"]["id"])
        if told["answer"] is not None:
            line.answered = True
            self._ledger.answers[told["answer"]["id"]] = told["answer"]["text"]
        line.refused = told["refused"] or line.refused

    # -- listening

    async def _listen(
        self, rng: Random, session: str, path: str, line: Line | None, body: dict[str, str] | None = None
    ) -> None:
        """Hears an answer to its end, through whatever cuts it off; without a path, what is said there just now.
        Raises `TransportError` where a line is not known to be kept."""
        ear = Ear(self._ledger, line)
        stream = f"sessions/{session}/stream"
        for _ in range(_TRIES):
            asked: dict[str, Any] = {"method": "POST" if path else "GET", "url": f"/api/chat/{path or stream}"}
            headers = {**self._who, **_STREAM, **({"Last-Event-ID": ear.last} if ear.last and not path else {})}
            patience = rng.randrange(12) if rng.random() < 0.4 else 10**6
            try:
                async with self._client.stream(**asked, json=body if path else None, headers=headers) as response:
                    if not self._fine(response, asked["url"]) or response.status_code == 204:
                        return
                    if response.headers["content-type"].startswith("application/json"):
                        return
                    self._ledger.cut += 1
                    async for kind, told, id in _events(response):
                        ear.hear(kind, told, id)
                        patience -= 1
                        if ear.over or patience < 0:
                            break
                if ear.over:
                    self._ledger.cut -= 1
                    return
            except httpx2.TransportError:
                if path and line is None:  # nobody asks for a new answer twice
                    return
            # What was cut off before it was known to be kept is said again; later the rest is asked for, or all.
            if ear.line_kept and rng.random() < 0.7:
                path = ""
            await asyncio.sleep(_A_MOMENT)

    # -- changes of mind

    def _earlier(self, rng: Random) -> Line | None:
        known = [line for line in self._own[-20:] if line.id and not line.taken]
        return rng.choice(known) if known else None

    async def _regenerate(self, rng: Random) -> None:
        line = self._earlier(rng)
        if line is not None:
            with suppress(httpx2.TransportError):
                await self._listen(rng, line.session, f"messages/{line.id}/regenerate", None)

    async def _edit(self, rng: Random) -> None:
        line = self._earlier(rng)
        if line is not None:
            text = f"q{line.number} or rather {phrase(rng, 1)}"
            line.texts.add(text)
            if await self._once("PUT", f"messages/{line.id}", {"text": text}):
                line.texts = {text}

    async def _delete(self, rng: Random) -> None:
        line = self._earlier(rng)
        if line is not None:
            line.taken = True
            line.gone = await self._once("DELETE", f"messages/{line.id}")

    async def _once(self, method: str, path: str, body: dict[str, str] | None = None) -> bool:
        """Whether something was done; nobody knows when the bot dies meanwhile."""
        try:
            response = await self._client.request(method, f"/api/chat/{path}", json=body, headers=self._who)
        except httpx2.TransportError:
            await asyncio.sleep(_A_MOMENT)
            return False
        return self._fine(response, f"{method} {path}")

    def _fine(self, response: httpx2.Response, what: str) -> bool:
        """Whether it was taken; what is refused although it should not be is found."""
        raced = response.status_code in (404, 409) and "/messages" not in what.removeprefix("/api/chat/messages")
        if not response.is_success and not raced:
            self._ledger.findings.append(f"{what} was answered with {response.status_code}")
        return response.is_success


class Ear:
    """What one window has heard of an answer, over however many connections."""

    def __init__(self, ledger: Ledger, line: Line | None) -> None:
        self._ledger = ledger
        self._line = line
        self._answer = ""
        self._text = ""
        self.last = ""
        """The id of the last event."""
        self.over = False

    @property
    def line_kept(self) -> bool:
        return self._line is None or bool(self._line.id)

    def hear(self, kind: str, told: dict[str, Any], id: str) -> None:
        """Takes in an event."""
        self.last = id or self.last
        match kind:
            case "said" if self._line is not None:
                self._ledger.kept(self._line, told["message"]["id"])
            case "began":
                self._answer, self._text = told["answer_id"], ""
            case "delta":
                self._text += told["text"]
            case "reset":
                self._text = ""
            case "refused":
                self.over = True
                if self._line is not None:
                    self._line.refused = told["detail"]
            case "done":
                if self._line is not None:
                    self._line.answered = True
                self._done(told["message"], told_before=id.endswith(":0"))

    def _done(self, message: dict[str, Any], *, told_before: bool) -> None:
        self.over = True
        id, text = message["id"], message["text"]
        heard = self._text == text if message["outcome"] == "whole" else text.startswith(self._text)
        if not told_before and (id != self._answer or not heard):
            self._ledger.findings.append(f"of {self._answer} was told {self._text!r}, and {id} is {text!r}")
        before = self._ledger.answers.setdefault(id, text)
        if before != text:
            self._ledger.findings.append(f"the end of {id} was told as {before!r}, and as {text!r}")


async def _events(response: httpx2.Response) -> AsyncIterator[tuple[str, dict[str, Any], str]]:
    fields: dict[str, str] = {}
    async for line in response.aiter_lines():
        if line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value
        elif fields:
            yield fields.get("event", ""), json.loads(fields["data"]), fields.get("id", "")
            fields = {}
