"""Values as JSON that every database takes."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, to_json

from ..model import storable


def json_text(value: Any) -> str:
    """A value's JSON, with every text in it as `storable` makes it."""
    try:
        text = to_json(value).decode()
    except (PydanticSerializationError, UnicodeEncodeError):
        text = ""
    if not text or r"\u0000" in text:
        return json.dumps(storable_all(value), ensure_ascii=False, default=_plain)
    return text


def storable_all(value: Any) -> Any:
    """A value with every text in its lists and dictionaries as `storable` makes it."""
    match value:
        case str():
            return storable(value)
        case list() | tuple():
            return [storable_all(item) for item in value]
        case dict():
            return {storable_all(key): storable_all(item) for key, item in value.items()}
    return value


def _plain(value: Any) -> Any:
    return storable_all(dict(value)) if isinstance(value, BaseModel) else value.isoformat()
