"""What a setting may look like in a file: names, secrets, spans of time, sizes, times of day."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
"""A bot's or persona's name: also a folder and a part of addresses, hence the small alphabet."""
Words = tuple[Annotated[str, Field(min_length=1)], ...]
_WORDS = {"type": "array", "items": {"type": "string", "minLength": 1}}
OneOrMore = Annotated[
    Words,
    BeforeValidator(lambda written: ((written,) if written else ()) if isinstance(written, str) else written),
    WithJsonSchema({"anyOf": [_WORDS, {"type": "string"}]}),
]
"""Words, or one of them as plain text; empty text is none, as a variable without a value leaves it."""
Patterns = Annotated[Words, Field(examples=[["advice-*"]])]
Id = Annotated[str, WithJsonSchema({"type": ["string", "integer"]})]
"""A Discord id, written with or without quotes."""


def _id_of_a_user(written: str) -> str:
    if not re.fullmatch(r"[0-9]{17,20}", written):
        raise PydanticCustomError("user_id", "a user is named by an id")
    return written


def _no_mention(written: str) -> str:
    if written.startswith(("#", "<")):
        raise PydanticCustomError("mention", "a channel is named by an id or a name")
    return written


_USER = {"type": ["string", "integer"], "x-what": "a user's id, 17 to 20 digits (right-click, Copy User ID)"}
UserId = Annotated[str, AfterValidator(_id_of_a_user), WithJsonSchema(_USER)]
"""The id of a Discord account."""
_CHANNEL = {
    "type": ["string", "integer"],
    "x-what": "a channel's id in digits, or a pattern for its name, without # or <>",
}
ChannelId = Annotated[str, AfterValidator(_no_mention), WithJsonSchema(_CHANNEL)]
"""A channel's id, or a pattern for its name."""

REFERENCE = r"^\$\{[A-Z0-9_]+(:-)?\}$"
"""The only way a secret may stand in a file."""


class Filled(str):
    """Any text out of a file, with its variables filled in."""

    __slots__ = ("source",)
    source: str
    """What the file says."""

    def __new__(cls, text: str, source: str) -> Filled:
        filled = super().__new__(cls, text)
        filled.source = source
        return filled


class Secret(BaseModel):
    """A value that must come from the environment: never shown, logged or written anywhere."""

    model_config = ConfigDict(frozen=True, json_schema_extra=lambda schema: _as_reference(schema))
    variable: str
    """The environment variable that holds it, for telling people what to set."""
    value: str = Field(default="", repr=False, exclude=True)

    @model_validator(mode="before")
    @classmethod
    def _from_a_variable(cls, written: Any) -> Any:
        if isinstance(written, Filled) and re.fullmatch(REFERENCE, written.source):
            return {"variable": written.source.strip("${:-}"), "value": str(written).strip()}
        if isinstance(written, cls) or (isinstance(written, dict) and type(written.get("variable")) is str):
            return written
        raise PydanticCustomError("secret", "a secret is written as a variable in capitals")

    def __bool__(self) -> bool:
        return bool(self.value)

    def __str__(self) -> str:
        return f"${{{self.variable}}}"


def _as_reference(schema: dict[str, Any]) -> None:
    schema.pop("properties")
    schema.pop("required")
    schema |= {"type": "string", "pattern": REFERENCE}


def _off(value: Any) -> Any:
    """YAML 1.1 reads a bare `off` as False."""
    return None if value is False or (isinstance(value, str) and value.lower() in ("off", "no", "false")) else value


_LONGEST = 100 * 31_557_600
"""A hundred years: before a longer one than that there is no date to reckon with."""
_SECONDS = {
    "type": "number",
    "exclusiveMinimum": 0,
    "maximum": _LONGEST,
    "x-what": "a number of seconds above 0, up to 100 years",
}
Gap = Annotated[
    Annotated[float, Field(gt=0, le=_LONGEST)] | None,
    BeforeValidator(_off),
    WithJsonSchema({"anyOf": [_SECONDS, {"enum": ["off", False, None]}]}),
]
"""Seconds of silence that end a session, or `off`."""

Address = Annotated[str | None, BeforeValidator(lambda value: None if value == "" else value)]
"""Text that may be left empty, as a variable without a value leaves it."""


def _begun_like_a_url(address: str | None) -> str | None:
    if address is not None and not re.match(r"https?://[^/\s]", address):
        raise PydanticCustomError("url", "an address begins with http:// or https://")
    return address


_URL_SCHEMA = {"type": "string", "x-what": "an address that begins with http:// or https://"}
Url = Annotated[Address, AfterValidator(_begun_like_a_url), WithJsonSchema({"anyOf": [_URL_SCHEMA, {"type": "null"}]})]
"""The address of a server, or nothing."""


class Section(BaseModel):
    """A block of settings: unknown keys are refused, so that a typing error is never silent."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, str_strip_whitespace=True, use_attribute_docstrings=True
    )


_SPAN = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([smhdwy])\s*")
_SPAN_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 31_557_600}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]i?)?B\s*", re.IGNORECASE)


def _seconds(written: Any) -> Any:
    if isinstance(written, str):
        parts = _SPAN.fullmatch(written)
        if parts is None:
            raise PydanticCustomError("span", "a span of time is a number and a unit")
        return float(parts[1]) * _SPAN_SECONDS[parts[2]]
    return written


def _bytes(written: Any) -> Any:
    if isinstance(written, str):
        parts = _SIZE.fullmatch(written)
        if parts is None:
            raise PydanticCustomError("size", "a size is a number and a unit")
        return int(float(parts[1]) * 1024 ** " KMGT".index((parts[2] or " ")[0].upper()))
    return written


_SPAN_SCHEMA = {"type": ["string", "number"], "x-what": "a span of time: 90s, 30m, 12h, 7d, 4w or 2y, up to 100 years"}
Span = Annotated[float, Field(gt=0, le=_LONGEST), BeforeValidator(_seconds), WithJsonSchema(_SPAN_SCHEMA)]
"""A span of time such as `30d`, in seconds; a bare number is seconds."""
SpanOrOff = Annotated[
    Annotated[float, Field(gt=0, le=_LONGEST)] | None,
    BeforeValidator(lambda written: _seconds(_off(written))),
    WithJsonSchema({"anyOf": [_SPAN_SCHEMA, {"enum": ["off", False, None]}]}),
]
"""The same, or `off`."""
_SIZE_SCHEMA = {"type": ["string", "integer"], "x-what": "a size: 500KB, 20MB or 1.5GB"}
Size = Annotated[int, Field(gt=0), BeforeValidator(_bytes), WithJsonSchema(_SIZE_SCHEMA)]
"""A size such as `500MB` (of 1024 * 1024 bytes each), in bytes."""
SizeOrOff = Annotated[
    Annotated[int, Field(gt=0)] | None,
    BeforeValidator(lambda written: _bytes(_off(written))),
    WithJsonSchema({"anyOf": [_SIZE_SCHEMA, {"enum": ["off", False, None]}]}),
]
"""The same, or `off`."""
