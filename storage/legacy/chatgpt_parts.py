"""What stands in one message of ChatGPT's data export: words, thoughts, calls of tools, what they gave back, files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..model import Attachment, Note, Part, Role, Text, ToolCall, ToolResponse
from .reading import flat, told, words
from .source import Source
from .talks import file_part, mapping, mappings, plain, shown

_ASSET = re.compile(r"^(file-[A-Za-z0-9]+|file_[A-Za-z0-9]+)")
_POINTERS = ("asset_pointer", "audio_asset_pointer", "video_container_asset_pointer", "frames_asset_pointers")
_TAKEN = ("id", "author", "content", "create_time", "metadata")
_FAILED = "system_error"
_SAID = ("text", "multimodal_text", "code", "tether_quote")
"""The kinds of content that are words for people; every other is a note."""


def asset_files(source: Source) -> dict[str, str]:
    """The files of an export by the ids that its messages call them by; in names the id comes first."""
    found: dict[str, str] = {}
    for name in source.names:
        known = _ASSET.match(name.rpartition("/")[2])
        if known:
            found.setdefault(known[1], name)
    return found


def called(ancestors: Iterable[tuple[str, Mapping[str, Any]]]) -> str:
    """The id of the latest call of a tool among the messages before one; empty where there is none."""
    for node, message in ancestors:
        author = mapping(message.get("author"))
        if author.get("role") == "assistant" and message.get("recipient", "all") not in ("all", None):
            return node
        if author.get("role") == "user":
            break
    return ""


class Said:
    """The parts of one message, what else is known of it, and which files of the source it has."""

    def __init__(
        self, node: str, record: Mapping[str, Any], role: Role, call_id: str, files: Mapping[str, str]
    ) -> None:
        """`call_id`: the call that an answer of a tool belongs to; `files` as of `asset_files`. Raises ValueError for
        content of a shape that is not known."""
        content = record.get("content")
        if not isinstance(content, Mapping):
            raise ValueError(f"Its content is no object but {shown(content)}.")
        self._node, self._record, self._content, self._known = node, record, content, files
        self._more = mapping(record.get("metadata"))
        self._kind = str(content.get("content_type"))
        self.files: dict[str, str] = {}
        self.context: dict[str, str] = {}
        """What the person told of themself (`user`) and of how to be answered (`model`)."""
        self.parts: tuple[Part, ...] = tuple(self._parts(role, call_id))
        """None for what says nothing."""
        self.metadata = self._metadata()

    def _parts(self, role: Role, call_id: str) -> Iterator[Part]:
        if self._kind == "user_editable_context" or "user_context_message_data" in self._more:
            self._instructions()
        elif self._kind in ("thoughts", "reasoning_recap"):
            text = "\n\n".join(self._thoughts())
            if text:
                yield Note(text=text)
        elif role == "tool":
            assets = list(self._assets())
            result = self._result()
            if result not in (None, "", {}) or not assets:
                failed = self._kind == _FAILED
                tool = words(mapping(self._record.get("author")).get("name")) or "tool"
                error = words(self._content.get("text")) or told(self._kind)
                yield ToolResponse(
                    call_id=call_id or self._node, tool=tool, result=result, error=error if failed else None
                )
            yield from assets
        elif role == "assistant" and self._record.get("recipient", "all") not in ("all", None):
            tool, _, function = str(self._record["recipient"]).partition(".")
            yield ToolCall(
                call_id=self._node, tool=str(plain(tool)), function=str(plain(function)), arguments=self._arguments()
            )
        else:
            text = self._text()
            hidden = self._more.get("is_visually_hidden_from_conversation") or self._more.get("is_visually_hidden")
            if text:
                yield Note(text=text) if hidden or self._kind not in _SAID else Text(text=text)
            yield from self._assets()

    def _instructions(self) -> None:
        about = mapping(self._more.get("user_context_message_data"))
        user = words(about.get("about_user_message")) or words(self._content.get("user_profile"))
        model = words(about.get("about_model_message")) or words(self._content.get("user_instructions"))
        self.context = {key: text for key, text in (("user", user), ("model", model)) if text}

    def _thoughts(self) -> Iterator[str]:
        thoughts = self._content.get("thoughts")
        for value in (self._content.get("content"), thoughts):
            if words(value):
                yield str(words(value))
        for each in mappings(thoughts):
            summary, text = words(each.get("summary")), words(each.get("content"))
            yield "\n".join(filter(None, (f"**{summary}**" if summary else "", text)))

    def _text(self) -> str:
        """The words, as people saw them."""
        if self._kind == "code":
            language = words(self._content.get("language")) or ""
            return f"```{'' if language == 'unknown' else language}\n{words(self._content.get('text')) or ''}\n```"
        if self._kind == "tether_quote":
            quoted = "\n".join(f"> {line}" for line in (words(self._content.get("text")) or "").splitlines())
            return "\n".join(filter(None, (words(self._content.get("title")), words(self._content.get("url")), quoted)))
        if isinstance(self._content.get("parts"), list):
            return "\n".join(filter(None, map(_words_of, self._content["parts"])))
        for key in ("text", "result", "content"):
            if words(self._content.get(key)):
                return str(words(self._content[key]))
        rest = {key: value for key, value in self._content.items() if key != "content_type" and value}
        return json.dumps(plain(rest), ensure_ascii=False) if rest else ""

    def _result(self) -> Any:
        """What a tool gave back: a text where it is no more than that."""
        if isinstance(self._content.get("parts"), list):
            return self._text()
        rest = {key: value for key, value in self._content.items() if key != "content_type" and value}
        return plain(rest["text"] if set(rest) == {"text"} else rest)

    def _arguments(self) -> Any:
        """What a tool was told: JSON, where it can be read as such."""
        given = [each for each in mappings(self._content.get("parts")) if not list(_pointers(each))]
        if given:
            return plain(given[0] if len(given) == 1 else given)
        text = self._content.get("text") if self._kind == "code" else self._text()
        if not isinstance(text, str):
            return plain(text)
        try:
            return plain(json.loads(text))
        except (ValueError, RecursionError):
            return plain(text)

    def _assets(self) -> Iterator[Attachment]:
        """The files in the message, then those beside it that are not among them."""
        about = {str(each.get("id")): each for each in mappings(self._more.get("attachments"))}
        met: set[str] = set()
        for each in self._content.get("parts") or () if isinstance(self._content.get("parts"), list) else ():
            for pointer in _pointers(each):
                id = _id(pointer["asset_pointer"])
                if id not in met:
                    met.add(id)
                    yield self._asset(id, pointer["asset_pointer"], {**pointer, **about.get(id, {})})
        for id, each in about.items():
            if id not in met and words(each.get("id")):
                yield self._asset(id, f"file-service://{id}", each)

    def _asset(self, id: str, url: str, about: Mapping[str, Any]) -> Attachment:
        file = self._known.get(id)
        name = words(about.get("name")) or (file.rpartition("/")[2] if file else id)
        prompt = mapping(mapping(about.get("metadata")).get("dalle")).get("prompt")
        media = about.get("mime_type") or about.get("mimeType")
        kind = str(about.get("content_type"))
        if not media and kind.startswith(("image", "audio", "video")) and "." not in name:
            media = {"image": "image/png", "audio": "audio/wav", "video": "video/mp4"}[kind[:5]]
        size = about.get("size_bytes") or about.get("size")
        part = file_part(name, url, size=size, media_type=media, description=words(prompt) or "")
        if file:
            self.files[part.url] = file
        return part

    def _metadata(self) -> dict[str, str]:
        kept = {**flat(self._more, "attachments", "user_context_message_data"), **flat(self._record, *_TAKEN)}
        if self._kind != "text":
            kept["content_type"] = told(self._kind)
        return {**kept, **flat({"language": self._content.get("language")} if self._kind == "code" else {})}


def _words_of(part: object) -> str:
    """The words of one part: said, or spoken and written down."""
    if not isinstance(part, Mapping) or isinstance(part.get("text"), str):
        return words(part) or words(mapping(part).get("text")) or ""
    return "" if list(_pointers(part)) else json.dumps(plain(part), ensure_ascii=False)


def _pointers(part: object) -> Iterator[Mapping[str, Any]]:
    """Every file that a part points to; a spoken line with a picture has several in it."""
    if not isinstance(part, Mapping):
        return
    if isinstance(part.get("asset_pointer"), str):
        yield part
    for key in _POINTERS[1:]:
        held = part.get(key)
        kind = "video" if key.startswith("video") else "image" if key.startswith("frames") else "audio"
        for each in held if isinstance(held, list) else [held]:
            inner = {"asset_pointer": each} if isinstance(each, str) else mapping(each)
            if isinstance(inner.get("asset_pointer"), str):
                yield {"content_type": kind, **inner}


def _id(pointer: str) -> str:
    return pointer.partition("://")[2].partition("#")[0].partition("?")[0] or pointer
