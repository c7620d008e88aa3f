"""Who may do what where: of the rules that match, the last that speaks of a thing decides it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bots.access import Access, Grant
from bots.community_settings import AccessRule
from bots.errors import ConfigError
from bots.loading import load
from storage.model import Channel, Sender

ANA = Sender(type="user", id="70000000000000000", name="Ana")
BEN = Sender(type="user", id="80000000000000000", name="Ben")
HALL = Channel(front="discord", id="100", kind="channel", name="Great-Hall", guild_id="1", guild_name="Troupers")
THREAD = HALL.model_copy(update={"id": "101", "kind": "thread", "name": "tea", "parent_id": "100"})
ELSEWHERE = Channel(front="discord", id="200", kind="channel", name="hall", guild_id="2", guild_name="Others")
DM = Channel(front="discord", id="300", kind="dm", name="ana", parent_id="70000000000000000")


def home_name(channel: Channel) -> str:
    return HALL.name if channel == THREAD else channel.name


def grant(*rules: dict[str, Any], channel: Channel = HALL, sender: Sender = ANA, roles: tuple[str, ...] = ()) -> Grant:
    return Access([AccessRule(**rule) for rule in rules], home_name).grant(channel, sender, roles)


def test_without_rules_everybody_may_do_everything() -> None:
    assert grant() == Grant(allowed=True, personas=None, models=None, why="")


@pytest.mark.parametrize(
    ("place", "covered"),
    [
        ({}, [HALL, THREAD, ELSEWHERE, DM]),
        ({"guild": "1"}, [HALL, THREAD]),
        ({"guild": "tROUPERS"}, [HALL, THREAD]),
        ({"channel": "100"}, [HALL, THREAD]),
        ({"channel": "101"}, [THREAD]),
        ({"channel": "great-*"}, [HALL, THREAD]),
        ({"channel": "tea"}, []),
        ({"channel": "*HALL"}, [HALL, THREAD, ELSEWHERE]),
        ({"channel": "*hall", "guild": "Others"}, [ELSEWHERE]),
        ({"channel": "7"}, []),
    ],
    ids=str,
)
def test_a_rule_speaks_of_the_places_it_names(place: dict[str, str], covered: list[Channel]) -> None:
    rule = {**place, "allow": False}
    assert [each for each in (HALL, THREAD, ELSEWHERE, DM) if not grant(rule, channel=each).allowed] == covered


@pytest.mark.parametrize(
    ("person", "covered"),
    [
        ({"user": "70000000000000000"}, True),
        ({"user": "80000000000000000"}, False),
        ({"role": "55"}, True),
        ({"role": "gUESTS"}, True),
        ({"role": "Guest"}, False),
    ],
    ids=str,
)
def test_a_rule_speaks_of_the_people_it_names(person: dict[str, str], covered: bool) -> None:
    assert grant({**person, "allow": False}, roles=("55", "Guests")).allowed is not covered


def test_a_thread_is_let_in_by_its_channel_and_never_by_what_somebody_called_it() -> None:
    rules: tuple[dict[str, Any], ...] = ({"allow": False}, {"channel": "bots-*", "allow": True})
    posing = THREAD.model_copy(update={"name": "bots-1"})
    assert not Access([AccessRule(**rule) for rule in rules], lambda _: "great-hall").grant(posing, ANA, ()).allowed
    assert Access([AccessRule(**rule) for rule in rules], lambda _: "bots-2").grant(THREAD, ANA, ()).allowed


def test_the_last_rule_that_speaks_of_a_thing_decides_it() -> None:
    rules: tuple[dict[str, Any], ...] = (
        {"allow": False},
        {"channel": "great-*", "allow": True, "personas": ["sage"]},
        {"role": "guests", "models": ["small"]},
        {"user": "80000000000000000", "allow": False},
    )
    mine = grant(*rules, roles=("Guests",))
    assert mine.allowed
    assert (mine.personas, mine.models) == (frozenset({"sage"}), frozenset({"small"}))
    assert not grant(*rules, sender=BEN).allowed
    assert not grant(*rules, channel=DM).allowed


def test_a_grant_says_which_rules_made_it() -> None:
    told = grant(
        {"allow": False}, {"guild": "1", "role": "guests", "personas": ["sage", "muse"]}, roles=("guests",)
    ).why
    assert told == (
        "access rule 1 (everybody, everywhere) denies answers; "
        "access rule 2 (guild 1, role guests) allows personas sage, muse"
    )


def test_rules_and_budgets_name_only_what_the_bot_has(tmp_path: Path) -> None:
    for path, text in {
        "personas/sage.yaml": "display: Sage\ndescription: one\nprompt: Be kind.\n",
        "bots/sage.yaml": (
            "personas: [sage]\n"
            "models: [{provider: openai, model: small}]\n"
            "access:\n"
            "  - {role: guests, personas: [sage, saga], models: [small, offline]}\n"
            "  - {role: guests, models: [smal]}\n"
            "budgets:\n"
            "  - {per: user, messages: 5, cheaper: offline}\n"
            "  - {per: user, messages: 9, cheaper: large}\n"
        ),
    }.items():
        (tmp_path / "config" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "config" / path).write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "config", {})
    file, models = "config/bots/sage.yaml", "allowed: offline, small"
    assert sorted(caught.value.findings) == [
        f"{file}:4: access[0].personas[1]: found 'saga' (text), which is no persona of this bot; "
        "did you mean 'sage'? allowed: sage",
        f"{file}:5: access[1].models[0]: found 'smal' (text), which is no model of this bot; "
        f"did you mean 'small'? {models}",
        f"{file}:8: budgets[1].cheaper: found 'large' (text), which is no model of this bot; {models}",
    ]
