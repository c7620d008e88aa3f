"""Values as JSON that every database takes."""

from __future__ import annotations

import json
from typing import Any

from pydantic_core import PydanticSerializationError, to_json, to_jsonable_python

from ..model import storable


def json_text(value: Any) -> str:
    """A value's JSON, with every text in it as `storable` makes it."""
    try:
        text = to_json(value).decode()
    except PydanticSerializationError:
        text = ""
    if not text or r"\u0000" in text:
        return json.dumps(storable_all(to_jsonable_python(value)), ensure_ascii=False)
    return text


def storable_all(value: Any) -> Any:
    """A value with every text in it as `storable` makes it."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, list):
        return [storable_all(item) for item in value]
    if isinstance(value, dict):
        return {storable_all(key): storable_all(item) for key, item in value.items()}
    return value
