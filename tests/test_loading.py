"""`config/` as people write it: what loads, and what they are told about everything that is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bots.errors import ConfigError
from bots.loading import load
from bots.settings import Troupe

ROOT = Path(__file__).resolve().parent.parent
PERSONA = "display: {display}\ndescription: somebody\nprompt: Be kind.\n"
HIDDEN = "s3cret-value-nobody-may-see"


class Desk:
    """A project folder in which a person writes."""

    def __init__(self, project: Path) -> None:
        self.project = project
        self.write("config/personas/sage.yaml", PERSONA.format(display="Sage"))
        self.write("config/personas/muse.yaml", PERSONA.format(display="Muse"))
        self.write("config/bots/sage.yaml", "personas: [sage]\n")

    def write(self, path: str, text: str | bytes) -> None:
        file = self.project / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())

    def bot(self, text: str) -> None:
        """Writes more into sage's file, whose line 1 is `personas: [sage]`."""
        self.write("config/bots/sage.yaml", f"personas: [sage]\n{text}\n")

    def load(self, **environ: str) -> Troupe:
        return load(self.project / "config", environ)

    def findings(self, **environ: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            self.load(**environ)
        told = caught.value.findings
        assert str(caught.value) == "\n".join(told)
        assert caught.value.__context__ is None, "a cause could carry values into a traceback"
        assert HIDDEN not in repr(caught.value)
        return told

    def finding(self, **environ: str) -> str:
        told = self.findings(**environ)
        assert len(told) == 1, told
        return told[0]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_a_bot_is_a_file_over_the_defaults(desk: Desk) -> None:
    desk.write(
        "config/troupe.yaml",
        "fleet: {stagger: 2}\n"
        "defaults:\n  storage: {max_history: 7, session_gap: 60}\n  discord: {channels: {always: [a, b]}}\n",
    )
    desk.bot("storage: {session_gap: off}\ndiscord: {channels: {always: [c]}}")
    troupe = desk.load()
    (bot,) = troupe.bots
    assert (bot.name, bot.display, troupe.fleet.stagger) == ("sage", "Sage", 2)
    assert (bot.storage.max_history, bot.storage.session_gap) == (7, None)
    assert bot.discord.channels.always == ("c",)


def test_paths_count_from_the_project(desk: Desk) -> None:
    desk.write("notes/sage/a.md", "# A\n")
    desk.bot("knowledge: ./notes/{bot_name}")
    (bot,) = desk.load().bots
    assert bot.root == desk.project / "data" / "sage"
    assert bot.storage.path == str(desk.project / "data" / "{bot_name}")
    assert bot.knowledge == str(desk.project / "notes" / "sage")


def test_ids_and_words_are_taken_as_written(desk: Desk) -> None:
    desk.bot(
        "display: Yes\n"
        "discord: {dms: {policy: allowlist, allow: [123456789012345678, 007]}}\n"
        "bindings: [{persona: sage, channel: 12:30}, {persona: sage, guild: 1_000}]"
    )
    (bot,) = desk.load().bots
    assert bot.display == "Yes"
    assert bot.discord.dms.allow == ("123456789012345678", "007")
    assert (bot.bindings[0].channel, bot.bindings[1].guild) == ("12:30", "1_000")


def test_bots_know_what_the_others_are_called(desk: Desk) -> None:
    desk.write("config/personas/muse.yaml", PERSONA.format(display="Muse") + "aliases: [poet]\n")
    desk.write("config/bots/spark.yaml", "personas: [muse]\n")
    desk.write("config/bots/.#spark.yaml", "an editor's lock")
    sage, spark = desk.load().bots
    assert sage.siblings == ("Spark", "spark", "Muse", "muse", "poet")
    assert spark.siblings == ("Sage", "sage")


def test_variables_are_filled_in_after_parsing(desk: Desk) -> None:
    desk.bot(
        "display: ${NAME} the ${KIND:-wise}\ndescription: costs $${5} in ${EMPTY:-}full\n"
        "storage: {max_history: '${MANY}', enabled: '${KEEP:-no}'}\n"
        "models: [{provider: openai, model: m, base_url: '${URL:-}', api_key: '${KEY:-}'}]"
    )
    (bot,) = desk.load(NAME="S: [x]\nname: evil", MANY="12", KIND="").bots
    assert bot.display == "S: [x]\nname: evil the wise"
    assert bot.description == "costs ${5} in full"
    assert (bot.storage.max_history, bot.storage.enabled) == (12, False)
    assert bot.models[0].base_url is None
    assert not bot.models[0].ready


def test_secrets_hold_their_variable_and_show_nothing_else(desk: Desk) -> None:
    desk.bot("discord: {token: '${TOKEN}'}")
    troupe = desk.load(TOKEN=f" {HIDDEN}\n")
    token = troupe.bots[0].discord.token
    assert token is not None
    assert (token.variable, token.value) == ("TOKEN", HIDDEN)
    assert HIDDEN not in repr(troupe) + str(token) + troupe.model_dump_json()


def test_a_dotenv_beside_the_folder_gives_way_to_the_environment(desk: Desk) -> None:
    desk.write(
        ".env",
        '\ufeff# keys\n\nexport ONE=1 # 1\nTWO=\'2 # two\'\r\nTHREE = "3 \\"3\\""\nFOUR=four#4\nFIVE=\nSIX=file\n',
    )
    desk.bot("description: ${ONE}|${TWO}|${THREE}|${FOUR}|${FIVE}|${SIX}")
    assert desk.load(SIX="real").bots[0].description == '1|2 # two|3 "3"|four#4||real'


def test_the_storage_type_may_come_from_the_environment(desk: Desk) -> None:
    desk.write("config/bots/old-owl.yaml", "personas: [sage]\nstorage: {type: nonsense}\n")
    assert desk.load(TROUPE_STORAGE_TYPE="sqlite").bot("old-owl")
    assert desk.findings(TROUPE_STORAGE_TYPE="mongo") == [
        "the variable TROUPE_STORAGE_TYPE: found 'mongo' (text); allowed: sqlite, file or postgres"
    ]
    assert desk.finding(TROUPE_OLD_OWL_STORAGE_TYPE="files", TROUPE_STORAGE_TYPE="sqlite") == (
        "the variable TROUPE_OLD_OWL_STORAGE_TYPE: found 'files' (text); allowed: sqlite, file or postgres"
    )


SAGE = "config/bots/sage.yaml"

WRONG = [
    (
        "storage:\n  session_gap: soon",
        ":3: storage.session_gap: found 'soon' (text); allowed: a number of seconds above 0, up to 100 years, or off",
    ),
    ("storage: {session_gap: 0}", ":2: storage.session_gap: found 0; allowed: a number of seconds above 0, up to 100"),
    ("storage: {session_gap: 9999999999}", ":2: storage.session_gap: found 9999999999; allowed: a number of seconds"),
    ("storage: {retention: {audit: 999999y}}", ":2: storage.retention.audit: found '999999y' (text); allowed: a span"),
    ("storage: {session_timeout: inf}", ":2: storage.session_timeout: found 'inf' (text); allowed: a number above 0"),
    ("storage: {max_history: 1.5}", ":2: storage.max_history: found 1.5; allowed: a whole number from 1 to 1000"),
    ("storage: {max_history: 5000}", ":2: storage.max_history: found 5000; allowed: a whole number from 1 to 1000"),
    (
        "storage: {max_history: yes}",
        ":2: storage.max_history: found 'yes' (text); allowed: a whole number from 1 to 1000",
    ),
    ("storage: {enabled: maybe}", ":2: storage.enabled: found 'maybe' (text); allowed: true or false"),
    ("storage:\n  type: mongo", ":3: storage.type: found 'mongo' (text); allowed: sqlite, file or postgres"),
    ("discord: {dms: {policy: none}}", "discord.dms.policy: found 'none' (text); allowed: everyone, allowlist or off"),
    (
        "discord: {channels: {always: advice}}",
        "discord.channels.always: found 'advice' (text); allowed: a list of texts, such as [\"advice-*\"]",
    ),
    ("discord: on", ":2: discord: found 'on' (text); allowed: a block with the keys api_url, bot_turns,"),
    ("discord:", ":2: discord: found nothing; allowed: a block with the keys api_url, bot_turns,"),
    (
        "models:\n  - provider: openai\n    model: m\n    retries:\n      attempts: 0",
        ":6: models[0].retries.attempts: found 0; allowed: a whole number from 1 to 10",
    ),
    (
        "models:\n  - {provider: offline, max_tokens: 600, context_tokens: 600}",
        ":3: models[0]: found max_tokens 600 with context_tokens 600, which leaves no room for a question; allowed:",
    ),
    (
        "models: [{model: m}]",
        ":2: models[0].provider: found nothing; this key is required: openai, anthropic or offline",
    ),
    ("models: [{provider: openai}]", ":2: models[0]: a model with provider 'openai' needs the name of the model"),
    (
        "storage:\n  session_gpa: 3",
        ":3: storage.session_gpa: found an unknown key; did you mean 'session_gap'? allowed: attachments, ",
    ),
    ("colour: red", ":2: colour: found an unknown key; allowed: access, bindings, budgets, "),
    ("name: other", ":2: name: found the key name; the file's name is the name: remove the line or rename the file"),
    (
        "siblings: [x]",
        ":2: siblings: found the key siblings; it is filled in with the names of the other bots: remove the line",
    ),
    (
        "bindings: [{persona: sage}]",
        ":2: bindings[0]: a binding names exactly one of thread, channel, category, role and guild",
    ),
    (
        "bindings:\n  - guild: 1\n    persona: sagee",
        ":4: bindings[0].persona: found 'sagee' (text), which is no persona of this bot; did you mean 'sage'? ",
    ),
    ("discord:\n  dms:\n    policy: allowlist", ":3: discord.dms: found policy 'allowlist' with nobody in allow"),
    (
        "knowledge: ./nowhere",
        ":2: knowledge: found './nowhere' (text), where there is no folder; make it or remove the line",
    ),
    ("display: A\ndisplay: B", ":3: display: found the key a second time (first in line 2); keep one of them"),
    (
        "storage: {path: .}",
        ":2: storage.path: found '.' (text), a folder that holds config/ or is inside it; allowed: for",
    ),
    ("display: !vault x", ":2: display: found the tag !vault; allowed: plain values without tags"),
    (
        "storage:\n  max_history: ${MANY}",
        ":3: storage.max_history: the variable MANY is not set; set it in the environment or in .env, "
        "or write ${MANY:-} to leave it empty",
    ),
    (
        "discord: {token: '${T}'}",
        ":2: discord.token: the variable T is not set; set it in the environment or in .env, or",
    ),
    (
        "display: ${A${B}",
        ":2: display: found a '${' that opens no variable; allowed: ${NAME}, ${NAME:-default}, and $${ for",
    ),
    (
        f"discord:\n  token: {HIDDEN}",
        ":3: discord.token: found a value that is no variable (not shown); allowed: ${VARIABLE} or ${VARIABLE:-} in ",
    ),
    (f"discord: {{token: '${{T:-{HIDDEN}}}'}}", ":2: discord.token: found a value that is no variable (not shown)"),
    (f"discord: {{token: {{variable: A, value: {HIDDEN}}}}}", ":2: discord.token: found a value that is no variable"),
    (
        f"storage: {{max_history: {HIDDEN * 2}}}",
        ":2: storage.max_history: found a text of 54 characters; allowed: a whole",
    ),
    ("storage:\n    type: sqlite\n  path: x", ":4: broken YAML ("),
    (
        "discord: {channels: {always: [*-help]}}",
        ":2: broken YAML (found undefined alias); a value that starts with * or & ",
    ),
    (
        "storage:\n\ttype: sqlite",
        ":3: broken YAML (found a tab); YAML wants spaces at the beginning of a line",
    ),
    ("---\na: b", ":2: broken YAML ("),
    ('storage: {path: "a\\0b"}', ":2: storage.path: found 'a\\x00b' (text); allowed: the path of a folder"),
    ("display: &a [*a]", ": found values nested or repeated without end; write them out without aliases"),
    (
        "display: " + "[" * 100_000 + "]" * 100_000,
        ": found values nested or repeated without end; write them out without aliases",
    ),
]


@pytest.mark.parametrize(("text", "told"), WRONG, ids=[text[:30] for text, _ in WRONG])
def test_a_finding_says_where_what_and_what_is_allowed(desk: Desk, text: str, told: str) -> None:
    desk.bot(text)
    finding = desk.finding()
    assert finding.startswith(SAGE)
    assert told in finding.removeprefix(SAGE)


def test_values_of_variables_are_never_shown(desk: Desk) -> None:
    desk.bot(
        "storage: {max_history: '${A}', path: '${C}/../config'}\ndisplay: ''\n"
        "knowledge: ${B}\nmodels: [{provider: '${A}'}]"
    )
    told = desk.findings(A=HIDDEN, B=HIDDEN, C=f"./{HIDDEN}")
    assert len(told) == 5
    assert f"{SAGE}:2: storage.max_history: found the value of ${{A}} (not shown); allowed: a whole number" in told[0]


def test_everything_wrong_is_told_at_once(desk: Desk) -> None:
    desk.write(".env", f"GOOD=1\n{HIDDEN}\n")
    desk.write(
        "config/troupe.yaml", "fleet: {stagger: -1}\ndefaults:\n  storage: {max_history: 0}\n  name: x\nbots: []\n"
    )
    desk.write("config/personas/muse.yaml", "display: Clyde's friend\nprompt: hm\n")
    desk.write("config/bots/broken.yaml", "a: [\n")
    desk.write("config/bots/sage.yaml", "personas: [sage, muse, bard]\nmodels: [{provider: nobody}]\n")
    desk.write("config/bots/spark.yaml", "personas: []\nstorage: {path: ./data/sage/inner}\n")
    told = "\n".join(desk.findings())
    for part in (
        ".env:2: found a line that assigns nothing (not shown",
        "config/troupe.yaml:1: fleet.stagger: found -1; allowed: a number from 0 to 60",
        "config/troupe.yaml:4: defaults.name: found the key name; the file's name",
        "config/troupe.yaml:5: bots: found an unknown key; allowed: defaults, fleet",
        "config/personas/muse.yaml:1: display: found 'clyde' in the name, which Discord refuses",
        "config/personas/muse.yaml:1: description: found nothing; this key is required",
        "config/bots/broken.yaml:2: broken YAML",
        "config/troupe.yaml:3: defaults.storage.max_history: found 0; allowed: a whole number from 1 to 1000",
        f"{SAGE}:1: personas[2]: found 'bard' (text), which names no file in personas/; allowed: muse, sage",
        f"{SAGE}:2: models[0].provider: found 'nobody' (text); allowed: openai, anthropic or offline",
        "config/bots/spark.yaml:1: personas: found an empty list; allowed: a list of texts, at least 1",
        "config/bots/spark.yaml:2: storage.path: found './data/sage/inner' (text) for bot 'spark', the folder of ",
    ):
        assert part in told
    assert len(told.splitlines()) == 12


def test_two_bots_cannot_be_one_account(desk: Desk) -> None:
    desk.bot("discord:\n  token: ${SAGE_TOKEN}")
    desk.write("config/bots/spark.yaml", "personas: [sage]\ndiscord: {token: '${SPARK_TOKEN:-}'}\n")
    assert desk.finding(SAGE_TOKEN=HIDDEN, SPARK_TOKEN=HIDDEN) == (
        "config/bots/spark.yaml:2: discord.token: found in ${SPARK_TOKEN:-} the token that bot 'sage' has in "
        f"${{SAGE_TOKEN}} ({SAGE}:3); each bot needs a Discord account and a token of its own"
    )
    assert desk.load(SAGE_TOKEN="", SPARK_TOKEN="")


def test_two_bots_cannot_share_a_root_through_a_link(desk: Desk) -> None:
    (desk.project / "data" / "sage").mkdir(parents=True)
    (desk.project / "link").symlink_to(desk.project / "data")
    desk.write("config/bots/spark.yaml", "personas: [sage]\nstorage: {path: ./x/../link/sage}\n")
    assert "storage.path: found './x/../link/sage' (text) for bot 'spark', the folder of bot 'sage'" in desk.finding()


def test_personas_of_a_bot_are_told_apart(desk: Desk) -> None:
    desk.write("config/personas/muse.yaml", PERSONA.format(display="Muse") + "aliases: [SAGE]\n")
    desk.write("config/bots/sage.yaml", "personas:\n  - sage\n  - muse\n  - sage\n")
    assert desk.findings() == [
        f"{SAGE}:3: personas[1]: 'SAGE' calls persona 'muse' and persona 'sage' of the same bot; "
        "change the display or the aliases of one of them",
        f"{SAGE}:4: personas[2]: found the persona 'sage' a second time; remove one of them",
    ]


def test_personas_are_names_of_files(desk: Desk) -> None:
    desk.write("config/bots/sage.yaml", "personas:\n  - {display: Sage, description: x, prompt: y}\n")
    assert desk.finding().startswith(
        f"{SAGE}:2: personas[0]: found a block of settings, which names no file in personas/"
    )


def make_unreadable(desk: Desk) -> None:
    (desk.project / SAGE).unlink()
    (desk.project / SAGE).mkdir()


FILES: dict[str, tuple[Callable[[Desk], object], str]] = {
    "empty": (
        lambda d: d.write(SAGE, "# later\n"),
        f"{SAGE}:1: found nothing but comments; allowed: settings written as",
    ),
    "a list": (
        lambda d: d.write(SAGE, "- a\n"),
        f"{SAGE}:1: found a single value or a list; allowed: settings written as",
    ),
    "latin": (
        lambda d: d.write(SAGE, b"personas: [sage]\ndisplay: J\xfcrg\n"),
        f"{SAGE}:2: found letters that are not UTF-8",
    ),
    "no file": (
        make_unreadable,
        f"{SAGE}: cannot be read (is a directory); check that it is a file this account may read",
    ),
    "ending": (
        lambda d: d.write("config/bots/x.yml", ""),
        "config/bots/x.yml: found the ending .yml; allowed: .yaml; rename",
    ),
    "name": (
        lambda d: d.write("config/bots/My Bot.yaml", ""),
        "config/bots/My Bot.yaml: found the name 'My Bot'; allowed: a-z",
    ),
    "no bots": (
        lambda d: (d.project / SAGE).unlink(),
        "config/bots: found no file named <name>.yaml; write one for each of your",
    ),
    "defaults": (
        lambda d: d.write("config/troupe.yaml", "defaults: no\n"),
        "config/troupe.yaml:1: defaults: found no settings",
    ),
}


@pytest.mark.parametrize(("spoil", "told"), FILES.values(), ids=list(FILES))
def test_a_file_that_is_no_settings(desk: Desk, spoil: Callable[[Desk], object], told: str) -> None:
    spoil(desk)
    assert desk.finding().startswith(told)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match="found no such folder; run troupe in the project's folder, or name the folder"
    ):
        load(tmp_path / "config", {})
