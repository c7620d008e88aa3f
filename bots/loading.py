"""Reads `config/` into settings, with every finding of a run in one error."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from .errors import ConfigError
from .findings import Schema, findings, shown, unknown
from .loading_files import missing_model, missing_notes
from .moved import Unreadable, settled
from .settings import BotSettings, FleetSettings, PersonaSettings, Troupe
from .storage_settings import StorageSettings
from .values import REFERENCE, Filled
from .web_settings import Neighbour, WebSettings
from .written import Entry, Files

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_OURS = {
    "name": "the file's name is the name: remove the line or rename the file",
    "siblings": "it is filled in with the names of the other bots: remove the line",
    "neighbours": "it is filled in with the consoles of the other bots: remove the line",
    "ahead": "it is filled in with what the bots before this one answer: remove the line",
}
_PATH = StorageSettings().path
_SLIP = 0.85
"""How much two names of models must be alike for one to be a slip of the pen: others are models of their own, with
prices of their own."""
_Model = TypeVar("_Model", bound=BaseModel)


def load(folder: Path, environ: Mapping[str, str], trial: Mapping[Path, str] | None = None) -> Troupe:
    """Everything in `folder` as settings, its paths made absolute; with `trial`, as if those files read so.

    A `.env` beside the folder adds variables that `environ` does not have. Raises `ConfigError` with all findings,
    none of which shows what a variable holds."""
    folder = Path(os.path.abspath(folder))
    if not os.path.isdir(folder):
        where = "run troupe in the project's folder, or name the folder with --config or TROUPE_CONFIG"
        raise ConfigError([f"{folder}: found no such folder; {where}"])
    found: list[str] = []
    files = Files(folder.parent, environ, found, trial)
    fleet, listed, defaults = _shared(files, folder / "troupe.yaml")
    cast = _named(files, folder / "personas")
    personas = {name: _persona(name, entry, folder.parent, found) for name, entry in cast.items()}
    written = _chosen(fleet, listed, _named(files, folder / "bots"), found)
    drafts = [
        _Draft(name, _overridden(name, entry.over(defaults) if defaults else entry, files.variables), folder.parent)
        for name, entry in written.items()
        if entry is not None
    ]
    bots = [_bot(draft, personas, files.variables, found) for draft in drafts]
    found += [*_same_tokens(drafts), *_shared_roots(drafts, folder)]
    if found:
        raise ConfigError(list(dict.fromkeys(found)))
    return Troupe(
        fleet=fleet or FleetSettings(),
        bots=_acquainted([bot for bot in bots if bot is not None], (fleet or FleetSettings()).web_port),
    )


def schema() -> dict[str, Schema]:
    """JSON Schemas for editors, by kind of file: `troupe`, `bot` and `persona`."""
    bot = _bot_shape()
    shapes = bot.pop("$defs")
    fleet = FleetSettings.model_json_schema()
    blocks = {
        "fleet": fleet,
        "defaults": bot | {"description": "What every bot has unless its own file says otherwise."},
    }
    troupe = {"title": "config/troupe.yaml", "type": "object", "additionalProperties": False, "properties": blocks}
    kinds = {"troupe": troupe | {"$defs": shapes}, "bot": bot | {"$defs": shapes}, "persona": _persona_shape()}
    draft = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return {kind: draft | _or_variable(shape) for kind, shape in kinds.items()}


@dataclass(frozen=True, slots=True)
class _Draft:
    """A bot as written, defaults included, before anyone knows whether it is good."""

    name: str
    entry: Entry
    project: Path

    @property
    def cast(self) -> list[Entry]:
        """Its list of personas."""
        listed = self.entry.at("personas")
        return listed.children if isinstance(listed.value, list) else []

    @property
    def names(self) -> list[str]:
        return [item.text for item in self.cast]

    @property
    def root(self) -> Path:
        """Where it would write, with every link followed."""
        path = self.entry.at("storage", "path").text or _PATH
        return Path(os.path.realpath(self.absolute(path.replace("\0", ""))))

    def absolute(self, path: str) -> str:
        return _absolute(path.replace("{bot_name}", self.name), self.project)


def _shared(files: Files, path: Path) -> tuple[FleetSettings | None, list[Entry], Entry | None]:
    """The two blocks of `troupe.yaml`, each of which may be left out, as may the file; between them the bots that
    the first one lists."""
    entry = files.mapping(path) if path in files.trial or os.path.lexists(path) else None
    if entry is None:
        return FleetSettings(), [], None
    for key in entry.plain:
        if key not in ("fleet", "defaults"):
            nearest = unknown(key, ("fleet", "defaults"))
            files.findings.append(f"{entry.at(key).place}: found an unknown key; {nearest}")
    fleet, defaults = entry.at("fleet"), entry.at("defaults")
    if isinstance(defaults.value, str | list):
        files.findings.append(f"{defaults.place}: found no settings; allowed: the keys of a bot's file, indented")
    settings = _checked(FleetSettings, fleet, {} if fleet.value is None else fleet.plain, files.findings)
    theirs = _theirs(defaults, files.findings) if isinstance(defaults.value, dict) else None
    return settings, fleet.at("bots").children, theirs


def _chosen(
    fleet: FleetSettings | None, listed: list[Entry], written: dict[str, Entry | None], found: list[str]
) -> dict[str, Entry | None]:
    """The bots that are to run, in the order asked for; all of them by name if no list asks for anything."""
    if fleet is None or not fleet.bots:
        return written
    chosen: dict[str, Entry | None] = {}
    for item in listed:
        if item.text in chosen:
            found.append(f"{item.place}: found the bot {item.text!r} a second time; remove one of them")
        elif item.text not in written:
            nearest = unknown(item.text, written)
            found.append(f"{item.place}: found {shown(item.value)}, which names no file in bots/; {nearest}")
        else:
            chosen[item.text] = written[item.text]
    return chosen


def _named(files: Files, folder: Path) -> dict[str, Entry | None]:
    """The YAML files of a folder by name, None for one that cannot be read."""
    label = files.label(folder)
    try:
        there = {*folder.iterdir(), *(path for path in files.trial if path.parent == folder)}
        paths = sorted(path for path in there if not path.name.startswith("."))
    except OSError as error:
        files.findings.append(
            f"{label}: {(error.strerror or 'unreadable').lower()}; make it a folder with a file for each"
        )
        return {}
    for path in paths:
        if path.suffix == ".yml":
            files.findings.append(f"{files.label(path)}: found the ending .yml; allowed: .yaml; rename the file")
        elif path.suffix == ".yaml" and not _NAME.fullmatch(path.stem):
            files.findings.append(
                f"{files.label(path)}: found the name {path.stem!r}; allowed: a-z, 0-9, - and _, "
                "starting with a letter, at most 32; rename the file"
            )
    paths = [path for path in paths if path.suffix == ".yaml" and _NAME.fullmatch(path.stem)]
    if not paths:
        files.findings.append(f"{label}: found no file named <name>.yaml; write one for each of your {folder.name}")
    return {path.stem: _theirs(files.mapping(path), files.findings) for path in paths}


def _theirs(entry: Entry | None, found: list[str]) -> Entry | None:
    """What people may write, without the keys that the program fills in."""
    for key, why in _OURS.items():
        if entry is not None and key in entry.plain:
            found.append(f"{entry.at(key).place}: found the key {key}; {why}")
            entry = entry.without(key)
    return entry


def _persona(name: str, entry: Entry | None, project: Path, found: list[str]) -> PersonaSettings | None:
    if entry is None:
        return None
    persona = _checked(PersonaSettings, entry, entry.plain | {"name": name}, found)
    if persona is None:
        return None
    notes = entry.at("knowledge")
    found += missing_notes([notes, *notes.children], project, lambda path: _absolute(path, project))
    return persona.model_copy(update={"knowledge": tuple(_absolute(path, project) for path in persona.knowledge)})


def _overridden(name: str, entry: Entry, variables: Mapping[str, str]) -> Entry:
    """The bot with the storage type that the environment asks for."""
    for variable in (f"TROUPE_{name.upper().replace('-', '_')}_STORAGE_TYPE", "TROUPE_STORAGE_TYPE"):
        if variables.get(variable):
            kind = Entry(f"the variable {variable}", 0, "", variables[variable])
            storage = Entry(entry.file, entry.line, "storage", {"type": kind})
            return Entry(entry.file, entry.line, "", {"storage": storage}).over(entry)
    return entry


def _bot(
    draft: _Draft, personas: Mapping[str, PersonaSettings | None], variables: Mapping[str, str], found: list[str]
) -> BotSettings | None:
    plain = draft.entry.plain | {"name": draft.name}
    if draft.cast:
        # Whatever is wrong with personas has its own finding; a stand-in lets the rest of the bot be checked.
        stand_in = PersonaSettings(name="a", display="a", description="a", prompt="a")
        plain["personas"] = [personas.get(name) or stand_in for name in draft.names]
    bot = _checked(BotSettings, draft.entry, plain, found)
    found += [*_strangers(draft, personas), *_namesakes(draft, personas), *_missing(draft)]
    if bot is None:
        return None
    kept = bot.storage
    backup = kept.backup.model_copy(update={"to": _place(kept.backup.to, draft.project)})
    places = {"path": _absolute(kept.path, draft.project), "attachments": _place(kept.attachments, draft.project)}
    storage = kept.model_copy(update={**places, "backup": backup})
    knowledge = bot.knowledge and draft.absolute(bot.knowledge)
    model = bot.embedder.path and draft.absolute(bot.embedder.path)
    embedder = bot.embedder.model_copy(update={"path": model})
    bot = bot.model_copy(update={"storage": storage, "knowledge": knowledge, "embedder": embedder})
    try:
        return settled(bot, variables)
    except Unreadable:  # the others go on: whoever opens this one's store is told
        return bot
    except ConfigError as error:
        found += error.findings
        return None


def _checked(model: type[_Model], entry: Entry, plain: dict[str, Any], found: list[str]) -> _Model | None:
    found += entry.problems
    try:
        return model.model_validate(plain)
    except ValidationError as error:
        found += findings(error, entry, _SHAPES[model]())
        return None


def _absolute(path: str, project: Path) -> str:
    return os.path.abspath(os.path.join(project, os.path.expanduser(path)))


def _place(where: str | None, project: Path) -> str | None:
    """A folder made absolute; a bucket stays what it is."""
    return where if where is None or where.startswith("s3://") else _absolute(where, project)


def _strangers(draft: _Draft, personas: Mapping[str, object]) -> Iterator[str]:
    """Personas without a file, and what is said of personas and models that the bot does not have."""
    for item in draft.cast:
        if item.text not in personas and not item.problem:
            nearest = unknown(item.text, personas)
            yield f"{item.place}: found {shown(item.value)}, which names no file in personas/; {nearest}"
    rules = draft.entry.at("access").children
    called = [binding.at("persona") for binding in draft.entry.at("bindings").children]
    called += [item for rule in rules for item in rule.at("personas").children]
    asked = [budget.at("cheaper") for budget in draft.entry.at("budgets").children]
    asked += [item for rule in rules for item in rule.at("models").children]
    models = [*filter(None, (model.at("model").text for model in draft.entry.at("models").children)), "offline"]
    known = (("persona", called, draft.names if draft.cast else None, 0.6), ("model", asked, models, _SLIP))
    for kind, items, names, likeness in known:
        for item in items:
            if names is not None and isinstance(item.value, str) and item.value not in names and not item.problem:
                nearest = unknown(item.value, names, likeness=likeness)
                yield f"{item.place}: found {shown(item.value)}, which is no {kind} of this bot; {nearest}"


def _namesakes(draft: _Draft, personas: Mapping[str, PersonaSettings | None]) -> Iterator[str]:
    """Words that call more than one persona of a bot."""
    owners: dict[str, str] = {}
    listed: set[str] = set()
    for item in draft.cast:
        name = item.text
        if name in listed:
            yield f"{item.place}: found the persona {name!r} a second time; remove one of them"
        listed.add(name)
        persona = personas.get(name)
        for word in () if persona is None else (name, persona.display, *persona.aliases):
            owner = owners.setdefault(word.casefold(), name)
            if owner != name:
                yield (
                    f"{item.place}: '{word}' calls persona '{name}' and persona '{owner}' of the same bot; "
                    "change the display or the aliases of one of them"
                )


def _missing(draft: _Draft) -> Iterator[str]:
    yield from missing_notes([draft.entry.at("knowledge")], draft.project, draft.absolute)
    yield from missing_model(draft.entry.at("embedder", "path"), draft.project, draft.absolute)


def _same_tokens(drafts: list[_Draft]) -> Iterator[str]:
    owners: dict[str, tuple[str, Entry, Filled]] = {}
    for draft in drafts:
        entry = draft.entry.at("discord", "token")
        token = entry.value
        if not isinstance(token, Filled) or not token.strip() or not re.fullmatch(REFERENCE, token.source):
            continue
        name, first, known = owners.setdefault(token.strip(), (draft.name, entry, token))
        if name != draft.name:
            yield (
                f"{entry.place}: found in {token.source} the token that bot '{name}' has in {known.source} "
                f"({first.file}:{first.line}); each bot needs a Discord account and a token of its own"
            )


def _shared_roots(drafts: list[_Draft], config: Path) -> Iterator[str]:
    """Storage roots that are the same folder or one inside the other, or that meet `config/`."""
    own = "allowed: for each bot a folder of its own, such as ./data/{bot_name}"
    for draft in drafts:
        if _overlap(draft.root, Path(os.path.realpath(config))):
            path = draft.entry.at("storage", "path")
            found = shown(path.value or _PATH)
            yield f"{path.place}: found {found}, a folder that holds {config.name}/ or is inside it; {own}"
    for first, second in combinations(drafts, 2):
        if _overlap(first.root, second.root):
            path, known = (draft.entry.at("storage", "path") for draft in (second, first))
            found = shown(path.value or _PATH)
            yield (
                f"{path.place}: found {found} for bot '{second.name}', the folder of bot '{first.name}' "
                f"({known.file}:{known.line}) or one around or inside it; {own}"
            )


def _acquainted(bots: list[BotSettings], web_port: int) -> tuple[BotSettings, ...]:
    """The bots, each of which knows by what words the others are called, where one before it answers every line, and
    where the consoles are, the first of which has `web_port` unless its file names another."""
    bots = [bot.model_copy(update={"web": _placed(bot, web_port + at)}) for at, bot in enumerate(bots)]
    consoles = [
        Neighbour(name=bot.name, display=bot.display, url=bot.web.address, root=bot.root)
        for bot in bots
        if bot.web.enabled
    ]
    others = {bot.name: [word for other in bots if other is not bot for word in other.names] for bot in bots}
    met = []
    ahead: tuple[str, ...] = ()
    for bot in bots:
        siblings = tuple(dict.fromkeys(others[bot.name]))
        beside = tuple(each for each in consoles if each.name != bot.name)
        met.append(bot.model_copy(update={"siblings": siblings, "ahead": ahead, "neighbours": beside}))
        if bot.discord.token:
            ahead = (*ahead, *bot.discord.channels.always)
    return tuple(met)


def _placed(bot: BotSettings, port: int) -> WebSettings:
    """Where its console is, unless its file says so itself."""
    web = bot.web
    public = web.public_url.replace("{bot_name}", bot.name) if web.public_url else None
    return web.model_copy(update={"port": web.port or port, "public_url": public})


def _overlap(one: Path, other: Path) -> bool:
    return one == other or one in other.parents or other in one.parents


def _bot_shape() -> Schema:
    shape = _their_shape(BotSettings)
    names = {"type": "string", "description": "The name of a file in personas/, without .yaml."}
    shape["properties"]["personas"] |= {"items": names, "uniqueItems": True}
    for ours in ("PersonaSettings", "Neighbour"):
        shape["$defs"].pop(ours)
    # Any of them may come from the defaults.
    shape.pop("required")
    return shape


def _persona_shape() -> Schema:
    return _their_shape(PersonaSettings)


def _their_shape(model: type[BaseModel]) -> Schema:
    shape = model.model_json_schema()
    shape["properties"] = {key: part for key, part in shape["properties"].items() if key not in _OURS}
    return shape


_SHAPES = {
    FleetSettings: FleetSettings.model_json_schema,
    BotSettings: _bot_shape,
    PersonaSettings: _persona_shape,
}


def _or_variable(shape: Schema) -> Schema:
    """A shape in which every number, yes-or-no and choice may also be a variable."""
    shape = dict(shape)
    for inside in ("properties", "$defs"):
        if inside in shape:
            shape[inside] = {key: _or_variable(part) for key, part in shape[inside].items()}
    if "items" in shape:
        shape["items"] = _or_variable(shape["items"])
    if "anyOf" in shape:
        shape["anyOf"] = [_or_variable(part) for part in shape["anyOf"]]
    elif shape.get("type") in ("integer", "number", "boolean") or "enum" in shape or "const" in shape:
        notes = {key: shape.pop(key) for key in ("title", "description", "default") if key in shape}
        return notes | {"anyOf": [shape, {"type": "string", "pattern": r"\$\{"}]}
    return shape
