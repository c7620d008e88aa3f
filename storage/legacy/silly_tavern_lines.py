"""One line of a SillyTavern chat as a message: its wordings, thoughts, tools and pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from ..model import Annotation, Message, Note, Part, Role, Sender, Text, ToolCall, ToolResponse, storable
from .reading import flat, known_id, words
from .silly_tavern_cards import resolved
from .talks import file_part, mapping, mappings, plain

SYSTEM = ("narrator", "help", "welcome", "group", "empty", "generic", "comment", "slash_commands", "formatting")
"""The kinds of lines that the program or its narrator says."""
_TAKEN = ("name", "is_user", "is_system", "send_date", "mes", "swipes", "swipe_info", "extra")
_MORE = ("reasoning", "media", "image", "image_swipes", "video", "file", "files", "tool_invocations", "title")


class Line:
    """One line of a chat with `user`, said by `sender` at a time. `find` gives the file of the source for a path of the
    program. `stands` is the time with one that names no zone as UTC."""

    def __init__(
        self,
        chat: str,
        record: Mapping[str, Any],
        at: datetime,
        stands: datetime,
        sender: Sender,
        user: str,
        find: Callable[[str], str | None],
    ) -> None:
        self._chat, self._record, self._user, self._find = chat, record, user, find
        self._more = mapping(record.get("extra"))
        self.at, self.stands, self.sender = at, stands, sender
        self.files: dict[str, str] = {}
        """Which files of the source hold the attachments, by their address."""

    def message(self, key: tuple[str, ...], session: str, asked: str | None) -> Message:
        """The whole of it. `key` tells it from the other lines of the chat; `asked` is the line it may answer."""
        by_person = self.sender.type == "user"
        role: Role = "user" if by_person else "assistant" if self.sender.type == "persona" else "system"
        id = known_id(self.stands, "silly_tavern", self._chat, *key)
        return Message(
            id=id,
            session_id=session,
            role=role,
            sender=self.sender,
            persona=self.sender.id if role == "assistant" else None,
            parts=tuple(self._parts(role)),
            at=self.at,
            reply_to=asked if role == "assistant" else None,
            annotations=tuple(self._alternatives(id)),
            metadata=self._metadata(),
        )

    def _parts(self, role: Role) -> Iterator[Part]:
        if words(self._more.get("reasoning")):
            yield Note(text=str(words(self._more["reasoning"])))
        for number, call in enumerate(mappings(self._more.get("tool_invocations"))):
            id = words(call.get("id")) or str(number)
            tool = words(call.get("name")) or "tool"
            yield ToolCall(call_id=id, tool=tool, arguments=plain(call.get("parameters")))
            failed = words(call.get("error"))
            yield ToolResponse(call_id=id, tool=tool, result=plain(call.get("result")), error=failed)
        text = self._wording(self._record["mes"])
        narrated = self._more.get("type") in ("narrator", "comment")
        yield Text(text=text) if role != "system" or narrated else Note(text=text)
        yield from self._files()

    def _wording(self, text: str) -> str:
        """A wording, with names where the program would show them."""
        character = self.sender.name if self.sender.type == "persona" else "{{char}}"
        return resolved(storable(text), self._user or "{{user}}", character)

    def _files(self) -> Iterator[Part]:
        media = [
            *mappings(self._more.get("media")),
            *mappings(self._more.get("files")),
            mapping(self._more.get("file")),
        ]
        media += [{"url": url, "title": self._more.get("title")} for url in self._older()]
        for url, each in {str(each["url"]): each for each in reversed(media) if words(each.get("url"))}.items():
            found = self._find(url)
            if found:
                self.files[storable(url)] = found
            name = words(each.get("name")) or url.partition("?")[0].rpartition("/")[2]
            name = name if len(name) <= 200 else "file"
            about = words(each.get("title")) or words(each.get("text")) or ""
            yield file_part(name, url, size=each.get("size") or 0, description=about)

    def _older(self) -> Iterator[str]:
        """Pictures and films as they were noted before there were several of them."""
        swipes = self._more.get("image_swipes")
        for url in (self._more.get("image"), self._more.get("video"), *(swipes if isinstance(swipes, list) else ())):
            if isinstance(url, str) and url:
                yield url

    def _alternatives(self, id: str) -> Iterator[Annotation]:
        """The wordings that were not chosen."""
        swipes = self._record.get("swipes")
        for number, text in enumerate(swipes if isinstance(swipes, list) else ()):
            if isinstance(text, str) and text and text != self._record["mes"]:
                yield Annotation(
                    id=f"{id}-{number}", kind="alternative", text=self._wording(text), sender=self.sender, at=self.at
                )

    def _metadata(self) -> dict[str, str]:
        hidden = {"hidden": "true"} if self._record.get("is_system") is True and self.sender.type != "system" else {}
        return {**flat(self._more, *_MORE), **flat(self._record, *_TAKEN), **hidden, "from": "silly_tavern"}
