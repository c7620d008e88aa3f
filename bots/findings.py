"""Says what is wrong with a setting in plain words: where, what was found, what is allowed, what to do."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from .values import REFERENCE, Filled
from .written import Entry

Schema = dict[str, Any]
"""A JSON Schema."""

_LONGEST = 40
"""Characters of a found value that are shown; anything longer may be a secret in the wrong place."""

_PATTERNS = {
    REFERENCE: "${VARIABLE} or ${VARIABLE:-} in capitals",
    r"^[a-z][a-z0-9_-]{0,31}$": "a name of a-z, 0-9, - and _ that starts with a letter and has at most 32 characters",
    r"^[^\x00]+$": "the path of a folder",
}


def findings(error: ValidationError, entry: Entry, schema: Schema) -> Iterator[str]:
    """A line for each thing pydantic refused in `entry`, whose shape is `schema`. Values with a problem of their own
    are left to `Entry.problems`."""
    details = [(entry.at(*detail["loc"]), detail) for detail in error.errors(include_url=False)]
    for at, detail in sorted(details, key=lambda pair: (pair[0].file, pair[0].line)):
        if not next(at.problems, ""):
            yield f"{at.place}: {_sentence(detail, at, schema)}"


def unknown(found: str, allowed: Iterable[str], *, likeness: float = 0.6) -> str:
    """A word that is none of those allowed, with the nearest of them that is at least so much like it, up to 1."""
    names = sorted(allowed)
    near = difflib.get_close_matches(found, names, n=1, cutoff=likeness)
    meant = f"did you mean '{near[0]}'? " if near else ""
    return f"{meant}allowed: {', '.join(names) or 'nothing so far'}"


def _sentence(detail: ErrorDetails, at: Entry, schema: Schema) -> str:
    kind = detail["type"]
    if kind == "value_error":
        return str(detail["ctx"]["error"])
    if kind == "secret":
        return (
            f"found a value that is no variable (not shown); allowed: {_PATTERNS[REFERENCE]}; put the secret into the "
            "environment or .env under that name, and renew it if others can read this file"
        )
    if kind == "extra_forbidden":
        *path, key = detail["loc"]
        return f"found an unknown key; {unknown(str(key), _shape(schema, path).get('properties', ()))}"
    allowed = _words(_shape(schema, detail["loc"]), schema) or detail["msg"]
    if kind == "missing":
        return f"found nothing; this key is required: {allowed}"
    return f"found {shown(at.value)}; allowed: {allowed}"


def shown(value: object) -> str:
    """A found value, unless it came out of a variable or is long enough to be a secret."""
    if value is None:
        return "nothing"
    if isinstance(value, Filled) and "${" in value.source:
        source = value.source if len(value.source) <= _LONGEST else "a text with variables"
        return f"the value of {source} (not shown)"
    if not isinstance(value, str):
        return "a block of settings" if isinstance(value, dict) else "a list" if value else "an empty list"
    if len(value) > _LONGEST:
        return f"a text of {len(value)} characters"
    return str(value) if _is_number(value) else f"{value!r} (text)"


def _is_number(text: str) -> bool:
    return text.lstrip("+-").replace(".", "", 1).isdigit()


def _shape(schema: Schema, path: Iterable[str | int]) -> Schema:
    """The part of a schema that describes what stands at a path, or an empty one."""
    part = _resolved(schema, schema)
    for step in path:
        parts = [_resolved(option, schema) for option in part.get("anyOf", [part])]
        inside = (
            each.get("items") if isinstance(step, int) else each.get("properties", {}).get(step) for each in parts
        )
        part = _resolved(next((each for each in inside if each), {}), schema)
    return part


def _resolved(part: Schema, schema: Schema) -> Schema:
    return schema["$defs"][part["$ref"].rsplit("/", 1)[1]] if "$ref" in part else part


def _words(part: Schema, schema: Schema) -> str:
    """What a schema allows, as a person would say it."""
    part = _resolved(part, schema)
    if "anyOf" in part:
        options = (_words(option, schema) for option in part["anyOf"])
        return ", or ".join(option for option in options if option)
    if "x-what" in part:
        return str(part["x-what"])
    if "const" in part or "enum" in part:
        return _either([f"{each}" for each in part.get("enum", [part.get("const")]) if isinstance(each, str)])
    match part.get("type"):
        case "integer" | "number":
            return _number(part)
        case "boolean":
            return "true or false"
        case "array":
            kind = _resolved(part["items"], schema).get("type", "")
            what = {"string": "texts", "object": "blocks"}.get(kind if isinstance(kind, str) else "string", "values")
            least = f", at least {part['minItems']}" if "minItems" in part else ""
            example = f", such as {json.dumps(part['examples'][0])}" if part.get("examples") else ""
            return f"a list of {what}{least}{example}"
        case "object":
            return f"a block with the keys {', '.join(sorted(part.get('properties', ())))}"
        case "null":
            return "an empty value"
        case "string" | ["string", "integer"]:
            return _text(part)
    return ""


def _number(part: Schema) -> str:
    unit = f" of {part['x-unit']}" if "x-unit" in part else ""
    name = ("a whole number" if part["type"] == "integer" else "a number") + unit
    if "minimum" in part and "maximum" in part:
        return f"{name} from {_written(part['minimum'])} to {_written(part['maximum'])}"
    if "minimum" in part:
        return f"{name} of {_written(part['minimum'])} or more"
    if "exclusiveMinimum" in part and "maximum" in part:
        return f"{name} above {_written(part['exclusiveMinimum'])}, up to {_written(part['maximum'])}"
    return f"{name} above {_written(part['exclusiveMinimum'])}" if "exclusiveMinimum" in part else name


def _written(number: float) -> str:
    return f"{number:.0f}" if number == int(number) else f"{number:g}"


def _text(part: Schema) -> str:
    if "pattern" in part:
        return _PATTERNS.get(part["pattern"], f"a text that matches {part['pattern']}")
    if "maxLength" in part:
        return f"a text of {part.get('minLength', 0)} to {part['maxLength']} characters"
    return "a text of at least one character" if part.get("minLength") else "a text"


def _either(words: list[str]) -> str:
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
