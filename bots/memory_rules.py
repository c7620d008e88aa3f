"""Facts found in a line by rules on this machine: of the speaker, their wishes and plans, and the ways of a place.

Better nothing than nonsense: what is a joke, a question, a quotation, somebody else's words, a wish or a condition is
no fact about the one who typed it, and secrets are nobody's to remember.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, time

from storage.model import Message
from storage.records import Memory

from .facts import fact, inert
from .memory_patterns import PATTERNS, Pattern
from .said_dates import said_date
from .speakers import inert as plain_name

_MOST = 8
"""Facts of one line."""
_LONGEST = 1_500
"""Letters of a line that is looked at: a longer one is a pasted text."""


def facts(line: Message, name: str, audience: str) -> list[Memory]:
    """What a line of a person says that is worth knowing later, as memories of that audience; `name` is what the
    speaker is called in them. Nothing for what is no plain statement."""
    text = line.words
    if not text.strip() or len(text) > _LONGEST or _JOKE.search(text) or is_secret(text):
        return []
    shown, mark, tail = name.rpartition("#")  # which tells two of one name apart
    name = f"{plain_name(shown)}#{tail}" if mark and tail.isalnum() else plain_name(name)
    text = plain(text)
    found: dict[str, Memory] = {}
    for sentence in _SENTENCE.split(text):
        if _UNREAL.search(sentence) or sentence.rstrip().endswith(("?", "？", "؟")):
            continue
        for each in _of_sentence(line, sentence.strip(), name, audience):
            found[each.id] = each
    return list(found.values())[:_MOST]


def is_secret(text: str) -> bool:
    """Whether a text seems to tell a password, a key or a number that nobody is to remember."""
    return bool(_SECRET.search(text))


def plain(text: str) -> str:
    """Somebody's own words: without code, quotations, addresses, and what is hidden or acted out; of a pasted text
    those of its beginning."""
    return _IGNORED.sub(" ", text[:_LONGEST].replace("’", "'")).strip()


def _of_sentence(line: Message, sentence: str, name: str, audience: str) -> Iterator[Memory]:
    way = _way(line, sentence, name, audience)
    if way is not None:
        yield way
        return
    for clause in _CLAUSE.split(sentence):
        clause = _OPENING.sub("", clause.strip()).rstrip(" .!,;~")
        if not clause or _NOT_NOW.search(clause):
            continue
        plan = _plan(line, clause, name, audience)
        if plan is not None:
            yield plan
            continue
        for pattern in PATTERNS:
            match = pattern.sense.match(clause)
            if match is not None:
                if (found := _told(line, pattern, match, name, audience)) is not None:
                    yield found
                break
        else:
            if (event := _event(line, clause, name, audience)) is not None:
                yield event


def _told(line: Message, pattern: Pattern, match: re.Match[str], name: str, audience: str) -> Memory | None:
    groups = {key: value.strip(" '\"") for key, value in match.groupdict().items() if value}
    value = groups.pop("value", None) or groups.pop("value2", "")
    if pattern.attribute in ("likes", "dislikes", "prefers") and (_VAGUE.search(value) or len(value.split()) > 7):
        return None
    if _UNFIT.search(value) or (pattern.attribute.endswith("works_as") and _BOAST.search(value)):
        return None
    if pattern.attribute == "lives_in" and value.casefold() in _NO_PLACE:
        return None
    if value.islower() and f"{value}." in line.words and pattern.attribute == "lives_in":  # shortened, as in `st.`
        return None
    value = _THEIR.sub("their", value)
    if _ME.search(value):
        return None
    groups = {key: told.casefold() for key, told in groups.items()}
    attribute = pattern.attribute.format(**groups).replace(" ", "_")
    return fact(
        line,
        audience,
        pattern.text.format(name=name, value=value, an=_article(value), **groups),
        subject=f"user:{line.sender.id}",
        type="procedural" if pattern.procedural else "semantic",
        attribute=attribute,
        value=value,
        ended=pattern.ended,
        importance=pattern.importance,
    )


def _article(value: str) -> str:
    return "an" if value[:1].casefold() in "aeiou" else "a"


def _plan(line: Message, clause: str, name: str, audience: str) -> Memory | None:
    """Something with a day: the day stands in it as a date."""
    match = _PLANS.match(clause)
    dated = said_date(clause, line.at) if match is not None else None
    if match is None or dated is None:
        return None
    day, (start, end) = dated
    rest = f"{clause[:start].rstrip(' ,')}{clause[end:]}".rstrip(" ,")
    who = match["who"].casefold()
    if len(rest) < len(match[0]) - (end - start) or _ME.search(rest[len(match["who"]) :]):
        return None
    own = who in ("i", "i'm", "i am", "im", "i've", "i'll", "my")
    doing = _THEIR.sub("their", rest[len(match["who"]) :].strip())
    if who.startswith("i"):
        verb = {"i'm": "is ", "i am": "is ", "im": "is ", "i've": "has ", "i'll": "will "}.get(who, "")
        doing = re.sub(r"^am\b", "is", re.sub(r"^(?:have|have got)\b", "has", doing))
        text = f"{name} {verb}{doing}"
    else:
        text = f"{name}'s {doing}" if who == "my" else f"{name} says: {rest}"
    midday = datetime.combine(day, time(12), UTC)
    return fact(
        line,
        audience,
        f"{inert(text, 200)} on {day.isoformat()} (said on {line.at:%Y-%m-%d}).",
        subject=f"user:{line.sender.id}" if own else "topic:plans",
        type="episodic" if day <= line.at.date() else "semantic",
        importance=0.6,
        when=midday,
    )


def _event(line: Message, clause: str, name: str, audience: str) -> Memory | None:
    """Something that happened to them lately: what they did, with the time they gave and the day they said so."""
    clause = _ASIDE.split(clause, maxsplit=1)[0].rstrip(" ,")
    match = _EVENTS.match(clause)
    if match is None or not _LATELY.search(clause) or _AT_WORK.search(clause) or len(clause.split()) > 22:
        return None
    rest = re.sub(
        r"^(?:(?:have|just|finally|recently|also|actually) )+",
        "",
        _THEIR.sub("their", clause[match.end("who") :].strip()),
    )
    if _ME.search(rest) or _VAGUE.search(rest.split(" ", 1)[-1]):
        return None
    if match["lead"]:
        rest = f"{rest} {match['lead'].casefold()}"
    text = f"{name} {rest}" if match["who"].casefold().startswith("i") else f"{name} says: we {rest}"
    return fact(
        line,
        audience,
        f"{inert(text, 240)} (said on {line.at:%Y-%m-%d}).",
        subject=f"user:{line.sender.id}",
        type="episodic",
        importance=0.45,
    )


def _way(line: Message, sentence: str, name: str, audience: str) -> Memory | None:
    """How this place does things; nobody has a place of their own rules in private."""
    if audience.startswith("user:"):
        return None
    bare = _OPENING.sub("", sentence).rstrip()
    pinned = line.pinned and len(sentence) > 12
    if not pinned and not any(pattern.match(bare) for pattern in _WAYS):
        return None
    if not 12 <= len(bare) <= 280:
        return None
    return fact(
        line,
        audience,
        f"How things are done here, as {name} {'pinned' if pinned else 'said'}: {inert(bare, 230)}",
        subject="topic:ways",
        type="procedural",
        importance=0.8 if pinned else 0.6,
    )


_IGNORED = re.compile(
    r"```[\s\S]*?(?:```|$)|`[^`\n]*`|(?m:^\s*>.*$)|https?://\S+|\"[^\"\n]*\"|“[^”\n]*”|„[^“\n]*“|«[^»\n]*»"
    r"|\|\|[^|]*\|\||\*[^*\n]+\*"
)
"""Code, quotations, addresses, what is hidden, and what somebody acts out between stars."""
_SENTENCE = re.compile(r"(?<=[.!?？؟。])\s+|\n+|(?<=[^\d]);\s*")
_CLAUSE = re.compile(
    r"(?:,\s*|\s+)(?:and|but|so|und|et|y)\s+(?=(?:I|i|my|we|our|ich|je|j'|yo)\b)|,\s+(?=(?:I|i|my|My)(?:'m|'ve"
    r"| )\s?\w)|\s[-–—]\s"
)
_OPENING = re.compile(
    r"^(?:(?:hi|hey|hello|hallo|hola|salut|yo|btw|by the way|fyi|so|well|and|but|also|actually|yeah|yes|yep|no"
    r"|oh|ok|okay|"
    r"anyway|honestly|tbh|personally|as for me|for me|fun fact:?|update:?|good news:?|hm+|ah|all|everyone"
    r"|folks|guys|there|"
    r"today i learned|<@!?\d+>|@[\w.-]+)(?:\s*[,!:.–-]+\s*|\s+|$))+",
    re.IGNORECASE,
)
_JOKE = re.compile(
    r"\b(?:lo+l|lmf?ao|rofl|jk|j/k|just kidding|kidding|joking|sarcasm|trololo|ha(?:ha)+|xd+)\b|(?:^|\s)/s\b"
    r"|[😂🤣😜😝🙃🤡]|;-?\)|[:;]-?[Pp]\b",
    re.IGNORECASE,
)
_SECRET = re.compile(
    r"\b(?:pass(?:word|phrase|code|wort)|contraseña|mot de passe|token|api[ _-]?key|secret|pin (?:code|is)"
    r"|iban|cvv|ssn|"
    r"social security|credit card|card number|passport|private key|seed phrase|2fa|otp)\b|\bsk-[\w-]{8,}",
    re.IGNORECASE,
)
_UNREAL = re.compile(
    r"\b(?:if|unless|would|wouldn't|could|might|maybe|perhaps|probably|wish|wished|imagine|pretend|pretending"
    r"|suppose|"
    r"supposedly|hypothetically|theoretically|let's say|say i|for example|for instance|e\.g|as though"
    r"|dream(?:t|ed|s)?|nightmare|"
    r"in the (?:game|book|movie|film|show|story|song)|in (?:minecraft|skyrim|gta|the sims|stardew)"
    r"|my character|my avatar|"
    r"role-?play\w*|npc|acting as|quote|lyrics|as they say|once i|when i was|back when|used to|almost|nearly|someday|"
    r"one day|would've|should have|wenn|falls|würde|vielleicht|wäre|hätte|si j|peut-être|quizás|ojalá|si yo)\b"
    r"|\bI'd\b|\bi'd\b"
    r"|\b(?:says?|said|told|tells|wrote|writes|claims?|claimed|thinks?|thought|asked|asks|goes|joked|insists?"
    r"|heard|reckons|"
    r"believes?|according to|apparently|rumou?r|sagt|sagte|meint|dit que|dice que)\b"
)
"""What makes a sentence something else than a plain statement of the one who typed it."""
_NOT_NOW = re.compile(
    r"^(?:not|never|nor|like|as|than|because|that|which|who|when|while|until"
    r"|since)\b",
    re.IGNORECASE,
)
_VAGUE = re.compile(
    r"^(?:where|how|what|when|to (?:go|do|get|make|have|keep|take|start|hope|believe|imagine|call) ?|having"
    r"|this|that|doing|"
    r"getting|going|one|most|some|any|both|either|neither|more|less|too|very|[\W\d_]+$)|\b(?:you|your|u|this"
    r"|that|it|here|there)\b",
    re.IGNORECASE,
)
_UNFIT = re.compile(
    r"\b(?:of|to|in|on|at|for|with|than|the|an?|and|or)$|^(?:that|when|how|if|because)\b", re.IGNORECASE
)
_BOAST = re.compile(r"\b(?:bad|good|great|terrible|lousy|poor|better|worse|big|little|huge|fan|not|real|total|mere)\b")
"""What makes a trade a judgement."""
_NO_PLACE = frozenset(
    "linux ubuntu debian arch fedora windows mac macos python python3 rust go java javascript typescript "
    "firefox chrome "
    "discord slack teams github gitlab postgres sqlite docker kubernetes react vue emacs vim neovim signal "
    "telegram mastodon "
    "bluesky twitter management sales support plan a b step tears english german french minecraft skyrim "
    "azeroth roblox fortnite".split()
)
_THEIR = re.compile(r"\b(?:my|our)\b", re.IGNORECASE)
_ME = re.compile(r"\b(?:I|me|I'm|we|us|i|myself|mine)\b")
_PLANS = re.compile(
    r"(?P<who>I'm|I am|Im|I|we're|we are|We're|We are|we|We|I've|I have|I'll|my|My|our|Our|the|The)(?=\s)"
    r"(?: (?:all|just|finally|also|got|now|have|has|am|are|will|be))*"
    r" (?:(?:going(?= to (?:[A-ZÀ-Þ]|(?:the|an?|my) ))|flying|travell?ing|moving|driving|heading|leaving"
    r"|visiting|meeting|launching|releasing|starting|getting|"
    r"having|hosting|running|presenting|playing|fly|travel|move|visit|meet|launch|release|ship|start|get|host"
    r"|present)\b"
    r"|(?:an? |the |next |new |first |final |job |annual |monthly |weekly |team |product )*(?:exam|interview"
    r"|meeting|appointment|"
    r"deadline|release|launch|flight|wedding|party|concert|trip|conference|talk|presentation|surgery|operation"
    r"|move|visit|"
    r"tournament|match|race|marathon|hackathon|meetup|raid|stream|workshop|class|game night|movie night"
    r"|holiday|"
    r"vacation|exhibition|performance|recital|maintenance|event|session zero|campaign)\b)"
)
_EVENTS = re.compile(
    r"(?:(?P<lead>(?i:yesterday|today|(?:last|this) \w+|on \w+day|(?:two|three|\d) \w+ ago)),? )?"
    r"(?P<who>I've|I|i|we|We|we've|We've)(?=\s)(?: (?:have|just|finally|recently|also|actually|both|all))*"
    r" (?:went|visited|adopted|bought|started|joined|finished|completed|signed up|passed|won|met"
    r"|became|launched|published|"
    r"ran|hiked|painted|attended|volunteered|graduated|sold|travell?ed|flew|celebrated"
    r"|organi[sz]ed|hosted|performed|"
    r"saw|took|made|baked|cooked|planted|watched|read|lost|broke|quit|retired|got (?:a|an|my|our"
    r"|promoted|engaged|married|"
    r"accepted|hired|fired|back))\b"
)
_ASIDE = re.compile(r",? (?:and|but|so) (?:it|they|that|he|she|there)\b|, (?:they|it|which|he|she)\b|,? because\b|!")
_LATELY = re.compile(
    r"\b(?:yesterday|last (?:night|week|weekend|month|year|spring|summer|autumn|fall|winter|\w+day)"
    r"|this (?:morning|weekend|"
    r"week|summer)|(?:a|an|two|three|four|a few|a couple of|\d{1,2}) (?:day|week|month|year)s? ago"
    r"|on (?:mon|tues|wednes|thurs|"
    r"fri|satur|sun)day|over the weekend|the other day|today)\b",
    re.IGNORECASE,
)
_AT_WORK = re.compile(
    r"\b(?:errors?|bugs?|boot\w*|install\w*|reboot\w*|updat\w*|upgrad\w*|kernel|drivers?|servers?"
    r"|packages?|files?|commits?|"
    r"builds?|unit tests?|logs?|patch\w*|screen|root|config\w*|terminal|command|crash\w*|merge[ds]?|deploy\w*"
    r"|issues?)\b",
    re.IGNORECASE,
)
"""What is done with machines all day is no event."""
_WAYS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(?:around )?here,? we (?!go\b|are\b|come\b|were\b|have been\b|meet again\b)\w+",
        r"in this (?:channel|server|guild|place|community|group|team|project|repo),? (?:we|please|everyone"
        r"|nobody|all)\b",
        r"we (?:always|never|usually|only) (?!seem|get|got|had|have|knew|know|thought|wanted|see|saw|hear)\w+[^.!?]*"
        r"\b(?:here|in this (?:channel|server|team|project|repo))\b",
        r"please (?:always|never|do not|don't) (?!worry|ask|tell|answer|reply|call|say|be|forget|remind|make"
        r"|give|let|leave|go|"
        r"hate|judge|laugh|die|stop|me\b)\w+ [^.!?]*\b(?:here|in (?:this|the) (?:channel|server|thread)"
        r"|in (?:#|<#)[\w-]+|"
        r"before|when|first|tests?|branch|commit|merg\w+|post\w*|messages?|threads?|pull requests?|pr)\b",
        r"please use (?:a |the )?(?:threads?|spoiler tags|<?#[\w-]+>?|content warnings|english|code blocks)\b",
        r"(?:house |server |channel )?rule (?:#|no\.? ?|number )?\d+\s*[:.)-]",
        r"(?:our|the) (?:rule|convention|policy|house rule) (?:here )?is\b",
    )
)
