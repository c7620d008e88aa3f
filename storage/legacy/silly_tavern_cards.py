"""Character cards as personas: JSON, or JSON in a picture, of all three versions; and books of lore.

In a picture the card is base64 in a `tEXt` chunk, `ccv3` for version 3 and `chara` for the others. Of sizes that a
picture claims none is trusted.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import IO, Any

from ..model import storable
from . import Persona, Refused, Spot
from .reading import chance, flat, words
from .source import BadSource, Source
from .talks import mapping, mappings, shown

_PNG = b"\x89PNG\r\n\x1a\n"
_CARD = 1 << 24
"""The most bytes of a card in a picture."""
_PIECE = 1 << 16
_OLDEST = ("name", "description", "personality", "first_mes", "mes_example", "scenario")
_TRAIT = 40
_USER = re.compile(r"(?i:\{\{user\}\})|<USER>")
_CHAR = re.compile(r"(?i:\{\{char\}\})|<BOT>|<CHAR>")
_TAKEN = ("name", "description", "personality", "scenario", "first_mes", "mes_example", "system_prompt", "tags")
_TAKEN_TOO = ("creator_notes", "creatorcomment", "character_book", "post_history_instructions")


def resolved(text: str, user: str, character: str) -> str:
    """A text with the names in place of the macros that stand for them."""
    return _CHAR.sub(lambda _: character, _USER.sub(lambda _: user, text))


def persona_id(name: str) -> str:
    """An id for a persona, from the name of its card."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    known = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:32].rstrip("-")
    return known if re.match(r"[a-z]", known) else f"character-{chance(name) % 16**8:08x}"


def is_card(value: object) -> bool:
    """Whether a JSON document is a character card."""
    found = mapping(value)
    if str(found.get("spec", "")).startswith("chara_card"):
        return isinstance(found.get("data"), Mapping)
    return isinstance(found.get("name"), str) and sum(key in found for key in _OLDEST) >= 4


def in_picture(source: Source, name: str) -> Any | Refused | None:
    """The card in a PNG; None where there is none, and Refused where it cannot be read."""
    spot = Spot(name)
    try:
        with source.open(name) as file:
            found = dict(_chunks(file))
    except (OSError, BadSource, EOFError) as error:
        return Refused(spot, f"The picture cannot be read ({shown(error)}).")
    for key in (b"ccv3", b"chara"):
        if key in found:
            try:
                return json.loads(base64.b64decode(found[key], validate=False).decode("utf-8"))
            except (ValueError, RecursionError, binascii.Error) as error:
                if key == b"chara" or b"chara" not in found:
                    return Refused(spot, f"The card in the picture is torn ({type(error).__name__}).")
    return None


def persona(card: Mapping[str, Any], id: str, user: str, picture: str = "") -> Persona | None:
    """A card as a persona; None for one without a name. `user`: whom it talks to, by name."""
    data = mapping(card.get("data")) if str(card.get("spec", "")).startswith("chara_card") else card
    name = (words(data.get("name")) or "").strip()
    if not name:
        return None

    def said(key: str) -> str:
        return resolved(words(data.get(key)) or "", user, name).strip()

    nature = said("personality")
    scenario = said("scenario")
    instructions = re.sub(r"\{\{original\}\}", "", said("system_prompt"), flags=re.IGNORECASE).strip()
    traits = [trait.strip() for trait in nature.split(",")]
    listed = len(traits) > 1 and all(0 < len(trait) <= _TRAIT for trait in traits)
    prompt = (
        instructions,
        said("description"),
        f"{name}'s personality: {nature}" if nature else "",
        f"Scenario: {scenario}" if scenario else "",
        said("post_history_instructions"),
    )
    examples = (each.strip() for each in re.split(r"<START>", said("mes_example"), flags=re.IGNORECASE))
    tags = data.get("tags")
    more = {"lore": lore(mapping(data.get("character_book")), user, name), "from": "silly_tavern"}
    return Persona(
        id=id,
        name=name,
        description=said("creator_notes") or said("creatorcomment"),
        prompt="\n\n".join(filter(None, prompt)),
        traits=tuple(traits) if listed else (),
        greeting=said("first_mes"),
        examples=tuple(filter(None, examples)),
        tags=tuple(storable(each) for each in tags if isinstance(each, str)) if isinstance(tags, list) else (),
        picture=picture,
        metadata={**flat(data, *_TAKEN, *_TAKEN_TOO), **flat(more), **flat({"spec": card.get("spec")})},
    )


def lore(book: Mapping[str, Any], user: str, character: str) -> str:
    """The entries of a book that are in use, each with the words that call it."""
    return "\n\n".join(resolved(text, user, character) for _, text in entries(book))


def entries(book: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The entries of a book of a card or of a file of its own, by their ids."""
    held = book.get("entries")
    listed: Iterable[Mapping[str, Any]] = mappings(list(held.values()) if isinstance(held, Mapping) else held)
    for number, entry in enumerate(listed):
        text = words(entry.get("content"))
        if text and entry.get("enabled", True) is not False and entry.get("disable") is not True:
            keys = entry.get("keys", entry.get("key"))
            called = ", ".join(each for each in keys if isinstance(each, str)) if isinstance(keys, list) else ""
            id = entry.get("id", entry.get("uid", number))
            yield storable(str(id)), storable(f"[{called}]\n{text}" if called else text)


def _chunks(file: IO[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """The texts of a PNG that may be a card, by their keys."""
    if file.read(len(_PNG)) != _PNG:
        return
    while len(head := file.read(8)) == 8 and head[4:] != b"IEND":
        size = int.from_bytes(head[:4], "big")
        if head[4:] == b"tEXt" and size <= _CARD:
            key, _, text = file.read(size).partition(b"\0")
            if key.lower() in (b"ccv3", b"chara"):
                yield key.lower(), text
            size = 0
        size += 4  # the checksum
        while size and (piece := file.read(min(size, _PIECE))):
            size -= len(piece)
