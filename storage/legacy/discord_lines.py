"""One message of an export of DiscordChatExporter as a message of ours: words, files, reactions, replies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from ..model import Attachment, Message, Note, Part, Reaction, Sender, Text, message_id, storable
from .reading import chance, flat, told, words
from .talks import file_part, mapping, mappings

_SPOKEN = {"Default", "Reply", "ChatInputCommand", "ContextMenuCommand", "ThreadStarterMessage", "19", "20", "21", "23"}
"""The types that somebody says; every other is a note of Discord's own. Old versions know the later ones by number."""
_REPLIES = ("Default", "Reply", "19")
_TAKEN = ("id", "type", "timestamp", "timestampEdited", "isPinned", "content", "author", "attachments", "embeds")
_TAKEN_TOO = ("stickers", "reactions", "mentions", "reference", "forwardedMessage", "inlineEmojis")


def person(author: Mapping[str, Any]) -> Sender:
    """Who wrote, as the export names them."""
    id = told(author.get("id"))
    name = words(author.get("nickname")) or words(author.get("name")) or id
    return Sender(type="bot" if author.get("isBot") is True else "user", id=id, name=name)


class Line:
    """One message of an export. `own`: the bot whose talk is wanted, where it is the one who speaks.
    `stands` is the time with one that names no zone as UTC. `find` gives the
    file of the source for what an export has in place of an address."""

    def __init__(
        self,
        channel: str,
        record: Mapping[str, Any],
        at: datetime,
        stands: datetime,
        own: Sender | None,
        find: Callable[[str], str | None],
    ) -> None:
        self._channel, self._record, self._own, self._find = channel, record, own, find
        self._at, self._stands = at, stands
        self._author = mapping(record.get("author"))
        self._spoken = str(record.get("type", "Default")) in _SPOKEN
        self.files: dict[str, str] = {}
        """Which files of the source hold the attachments, by their address."""

    def message(self) -> Message:
        """The whole of it; its session is not known yet."""
        sender = self._own or person(self._author)
        if not self._spoken:
            sender = Sender(type="system", id=sender.id, name=sender.name)
        id = str(self._record["id"])
        luck = int(id) % 2**22 << 28 | chance(self._channel, id) % 2**28  # Discord counts what came in one millisecond
        return Message(
            id=message_id(self._stands, luck),
            origin=f"discord:{self._channel}:{id}",
            session_id="",
            role="system" if not self._spoken else "assistant" if self._own else "user",
            sender=sender,
            parts=tuple(self._parts()) or (Text(text=""),),
            at=self._at,
            reply_to=self._reply(),
            reactions=tuple(self._reactions()),
            pinned=self._record.get("isPinned") is True,
            metadata=self._metadata(),
        )

    def _parts(self) -> Iterator[Part]:
        content = self._named(words(self._record.get("content")) or "")
        if not self._spoken:
            yield Note(text=content or f"({told(self._record.get('type'))})")
            return
        embeds = [each for each in mappings(self._record.get("embeds")) if self._said(each, content)]
        text = "\n\n".join(filter(None, (content, *map(_embedded, embeds))))
        if text:
            yield Text(text=text)
        yield from self._files(self._record, embeds)
        forwarded = mapping(self._record.get("forwardedMessage"))
        if forwarded:
            yield Note(text="Forwarded:\n")
            inner = list(mappings(forwarded.get("embeds")))
            yield Text(text="\n\n".join(filter(None, (words(forwarded.get("content")), *map(_embedded, inner)))))
            yield from self._files(forwarded, inner)

    def _said(self, embed: Mapping[str, Any], content: str) -> bool:
        """Whether the bot wrote an embed itself; a person's is the preview of a link, and so is one of a link that
        stands in the text."""
        url = embed.get("url")
        return self._author.get("isBot") is True and not (isinstance(url, str) and url and url in content)

    def _files(self, holder: Mapping[str, Any], embeds: list[Mapping[str, Any]]) -> Iterator[Attachment]:
        for each in mappings(holder.get("attachments")):
            if words(each.get("url")):
                yield self._file(each["url"], each.get("fileName"), each.get("fileSizeBytes"))
        for each in mappings(holder.get("stickers")):
            if words(each.get("sourceUrl")):
                ending = {"Lottie": "json", "Gif": "gif"}.get(str(each.get("format")), "png")
                name = words(each.get("name")) or "sticker"
                yield self._file(each["sourceUrl"], f"{name}.{ending}", description=name)
        images = (mapping(image) for each in embeds for image in (each.get("image"), *mappings(each.get("images"))))
        for url in dict.fromkeys(words(image.get("url")) for image in images):
            if url:
                yield self._file(url, url.partition("?")[0].replace("\\", "/").rpartition("/")[2])

    def _file(self, url: str, name: object, size: object = 0, description: str = "") -> Attachment:
        found = self._find(url)
        if found:
            self.files[storable(url)] = found
        return file_part(name, url, size=size, description=description)

    def _named(self, text: str) -> str:
        """Mentions as names: an export that was made without formatting has them as ids."""
        if "<@" in text:
            for each in mappings(self._record.get("mentions")):
                name = person(each).name
                text = text.replace(f"<@{each.get('id')}>", f"@{name}").replace(f"<@!{each.get('id')}>", f"@{name}")
        return text

    def _reply(self) -> str | None:
        reference = mapping(self._record.get("reference"))
        id = words(reference.get("messageId"))
        if not id or str(self._record.get("type")) not in _REPLIES or reference.get("type") == "Forward":
            return None
        return f"discord:{words(reference.get('channelId')) or self._channel}:{id}"

    def _reactions(self) -> Iterator[Reaction]:
        met: set[tuple[str, str]] = set()
        for each in mappings(self._record.get("reactions")):
            emoji = _emoji(mapping(each.get("emoji")))
            for who in mappings(each.get("users")):
                sender = person(who)
                if (emoji, sender.id) not in met:
                    met.add((emoji, sender.id))
                    yield Reaction(emoji=emoji, sender=sender, at=self._at)

    def _metadata(self) -> dict[str, str]:
        record = self._record
        counted = {_emoji(mapping(each.get("emoji"))): each.get("count") for each in mappings(record.get("reactions"))}
        kind, name, shown = record.get("type"), words(self._author.get("name")), person(self._author).name
        more = {
            "type": None if kind in _REPLIES else kind,
            "edited_at": record.get("timestampEdited"),
            "reactions": counted,
            "reference": None if self._reply() and self._own is None else record.get("reference"),
            "forwarded_at": mapping(record.get("forwardedMessage")).get("timestamp"),
            "username": name if name != shown else None,
            "roles": [told(each.get("name")) for each in mappings(self._author.get("roles"))],
            "mentions": [told(each.get("id")) for each in mappings(record.get("mentions"))],
        }
        kept = flat(record, *_TAKEN, *_TAKEN_TOO)
        return {**kept, **flat(more), "from": "discord_chat_exporter", "legacy_id": str(record["id"])}


def _emoji(emoji: Mapping[str, Any]) -> str:
    """As Discord writes it: the character itself, or a server's own with its id."""
    name = words(emoji.get("name")) or "?"
    if not emoji.get("id"):
        return name
    return f"<{'a' if emoji.get('isAnimated') else ''}:{name}:{told(emoji['id'])}>"


def _embedded(embed: Mapping[str, Any]) -> str:
    """What stands in an embed, as text."""
    title, url = words(embed.get("title")), words(embed.get("url"))
    head = f"[{title}]({url})" if title and url else title or url
    fields = (f"**{words(each.get('name'))}**\n{words(each.get('value'))}" for each in mappings(embed.get("fields")))
    author = words(mapping(embed.get("author")).get("name"))
    footer = words(mapping(embed.get("footer")).get("text"))
    return "\n".join(filter(None, (author, head, words(embed.get("description")), *fields, footer)))
