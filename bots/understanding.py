"""What a message is about, whom and what it names, its tone, what it wants and its language: by rules, at once.

Meant for English; of other languages it knows the question marks, the scripts, some common words and nothing more, and
says so by leaving out what it cannot tell.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Intent = Literal["question", "request", "statement", "greeting", "thanks", "complaint", "smalltalk", "command"]

_MOST = 2_000
"""Letters of a message that are looked at."""
_TOPICS = 6
_TONELESS = 0.2
_SHORT = 6
"""Words up to which a line is a greeting, thanks or small talk and nothing else."""


@dataclass(frozen=True, slots=True)
class Understanding:
    """What is plain about one message."""

    topics: tuple[str, ...]
    """What it is about, in its own words, lower case, the most telling first; at most six."""
    entities: dict[str, tuple[str, ...]]
    """What it names, as written, by kind: `people`, `places`, `names` (proper names of anything), `dates`, `urls`,
    `numbers`, `code`, `quoted`; a kind of which there is nothing is absent."""
    sentiment: float
    """From -1, as bad as can be, to 1; 0 where there is no tone or none is known."""
    intent: Intent
    language: str | None
    """By ISO 639-1; None where it is not sure."""


def understood(text: str) -> Understanding:
    """What is plain about a message; of a very long one, about its beginning."""
    text = text[:_MOST]
    entities, spoken = _entities(text)
    words = [word.casefold() for word in spoken]
    sentiment = _sentiment(text, words)
    tongue = language(text, words)
    if tongue == "de":
        entities.pop("names", None)  # every noun is capitalised there
    return Understanding(
        topics=_topics(spoken, words),
        entities=entities,
        sentiment=sentiment,
        intent=_intent(text.strip(), words, sentiment),
        language=tongue,
    )


def in_words(known: Understanding, shown: Callable[[str], str] = str) -> str:
    """What is plain about a message, for people: "I took it for a question about plums." `shown` makes
    its own words harmless where they are told."""
    about = f" about {', '.join(map(shown, known.topics))}" if known.topics else ""
    tongue = f", in the language '{known.language}'" if known.language not in (None, "en") else ""
    tone = "" if abs(known.sentiment) < _TONELESS else f", in a {'good' if known.sentiment > 0 else 'bad'} mood"
    names = "; ".join(f"{kind}: {', '.join(map(shown, found))}" for kind, found in known.entities.items())
    return f"I took it for a {known.intent}{about}{tongue}{tone}." + (f" It names {names}." if names else "")


def _entities(text: str) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """What a text names, and its words without code, addresses, quotations of others and numbers."""
    found: dict[str, dict[str, None]] = {}
    spoken: list[str] = []
    name: list[str] = []
    """Capitalised words in a row, as far as read."""
    cue, begins = "", True

    def close() -> None:
        kind = "people" if cue in _PERSON_CUES else "places" if cue in _PLACE_CUES else "names"
        found.setdefault(kind, {})[" ".join(name)] = None
        name.clear()

    end = 0
    for match in _TOKEN.finditer(text):
        start, last = match.span()
        if start != end + 1 or text[end] != " ":
            between = text[end:start]
            if name:
                close()
            begins = begins or not _ENDS.isdisjoint(between)
        end, kind, token = last, match.lastgroup or "word", match[0]
        if kind != "word":
            if name:
                close()
            found.setdefault(_KINDS.get(kind, kind), {})[token.strip('`“”"«»„ \n')] = None
            cue = kind
        else:
            spoken.append(token)
            folded = token.casefold()
            if token[0].isupper() and (not begins or name) and folded not in _NEVER_NAMES:
                name.append(token)
            else:
                if name:
                    close()
                cue = folded
        begins = False
    if name:
        close()
    dated = "numbers" in found or not _DATE_WORDS.isdisjoint(map(str.lower, spoken))
    if dated and (dates := dict.fromkeys(match[0] for match in _DATE.finditer(text))):
        found["dates"] = dates
    return {kind: tuple(values) for kind, values in found.items() if any(values)}, spoken


def _topics(spoken: list[str], words: list[str]) -> tuple[str, ...]:
    """The words that are in no other kind of talk: proper names first, then what is said often, then long words."""
    weights: dict[str, float] = {}
    for place, (shown, word) in enumerate(zip(spoken, words, strict=True)):
        if not word.isascii() and (parts := _DENSE.findall(word)):
            weights |= {part: 1.0 + len(part) / 12 for part in parts}
            continue
        bare = word.removesuffix("'s").removesuffix("’s")
        if bare in _EMPTY or (len(bare) < 3 and bare.isascii()) or "'" in bare or bare in _LANGUAGE_OF:
            continue
        weight = 1.0 + min(len(bare), 12) / 12 + (0.7 if shown[0].isupper() and place else 0.0)
        weights[bare] = weights.get(bare, 0.0) + weight
    return tuple(sorted(weights, key=lambda word: -weights[word])[:_TOPICS])


def _sentiment(text: str, words: list[str]) -> float:
    total, hits, negated, stress = 0.0, 0, 0, 1.0
    for word in words:
        value = _TONE.get(word, 0.0)
        if value:
            total += value * stress * (-0.6 if negated > 0 else 1.0)
            hits += 1
        negated, stress = negated - 1, 1.5 if word in _STRESS else 1.0
        if word in _NOT or word.endswith(("n't", "n’t")):
            negated = 3
    if not text.isascii() or ":" in text or ";" in text or "<3" in text:
        for sign, value in _SIGNS.items():
            if sign in text:
                total, hits = total + value, hits + 1
    if not hits:
        return 0.0
    return max(-1.0, min(1.0, total / (1 + 0.4 * (hits - 1)) * (1.2 if "!" in text else 1.0)))


def _intent(text: str, words: list[str], sentiment: float) -> Intent:
    first = words[0] if words else ""
    if _COMMAND.match(text):
        return "command"
    if not words:
        return "question" if _asks(text) else "smalltalk"
    start = " ".join(words[:4])
    asking = _asks(text)
    greets = first in _GREETINGS or (first == "good" and not _TIMES_OF_DAY.isdisjoint(words[1:2]))
    if len(words) <= _SHORT and greets and not asking:
        return "greeting"
    if _REQUEST.search(" ".join(words[:14])) or first in _IMPERATIVES:
        return "request"
    if asking or (first in _ASKING and not start.startswith(_NOT_ASKING)):
        return "question"
    if any(word in _THANKS for word in words[:4]) and sentiment >= 0:
        return "thanks"
    if sentiment <= -0.6 or _TROUBLE.search(" ".join(words)):
        return "complaint"
    if len(words) <= _SHORT and all(word in _SMALLTALK for word in words[:2]):
        return "smalltalk"
    return "statement"


def _asks(text: str) -> bool:
    """A question mark of some script at the end of a sentence: not one in an address, nor in the middle of a word."""
    return bool(_QUESTION_MARK.search(text)) and bool(_QUESTION_MARK.search(_ADDRESS.sub("", text)))


def language(text: str, words: list[str] | None = None) -> str | None:
    """The language of a text by its script and its commonest words, by ISO 639-1; None where it is not sure."""
    if not text.isascii():
        for code, script in _SCRIPTS:
            if len(script.findall(text)) * 3 >= sum(map(str.isalpha, text)) > 0:
                return code
    votes: dict[str, int] = {}
    for word in words if words is not None else [match[0].casefold() for match in _WORD.finditer(text[:_MOST])]:
        for code in _LANGUAGE_OF.get(word, ()):
            votes[code] = votes.get(code, 0) + 1
    ranked = sorted(votes.items(), key=lambda vote: -vote[1])
    if not ranked or (len(ranked) > 1 and ranked[0][1] == ranked[1][1]):
        return None
    return ranked[0][0]


_WORD_PATTERN = r"[^\W\d_]+(?:['’\-][^\W\d_]+)*"
_WORD = re.compile(_WORD_PATTERN)
_DENSE = re.compile(r"[\u4e00-\u9fff]{2,}|[\u30a0-\u30ff]{2,}")
"""Words of scripts without spaces, roughly."""
_ADDRESS = re.compile(r"https?://\S+|www\.\S+")
_TOKEN = re.compile(
    r"(?P<code>```[\s\S]*?(?:```|$)|`[^`\n]+`)"
    r"|(?P<urls>(?:https?://|www\.)[^\s<>]+)"
    r"|(?P<quoted>[\"“„«][^\"“”„«»\n]{2,200}[\"”“»])"
    r"|(?P<mention>(?<!\w)@[\w.\-]{2,32}|<@!?\d+>)"
    r"|(?P<number>(?<![\w.])[$€£]?\d[\d.,:/]*\d(?:%|\b)|(?<![\w.])[$€£]?\d(?:%|\b))"
    rf"|(?P<word>{_WORD_PATTERN})"
)
_ENDS = frozenset(".!?\n:…")
_KINDS = {"mention": "people", "number": "numbers"}
_QUESTION_MARK = re.compile(r"[?？؟¿⁇⁈](?!\w{2})|;\s*$(?<=[\u0370-\u03ff];)")
_COMMAND = re.compile(r"[/!.][a-z][\w\-]{1,30}(?:\s|$)")
_DATE = re.compile(
    r"\b\d{4}-\d{2}-\d{2}\b|\b\d{1,2}[./]\d{1,2}[./]\d{2,4}\b|\b\d{1,2}(?::\d{2})?\s?[ap]m\b|\b\d{1,2}:\d{2}\b"
    r"|\b(?:the )?day (?:after tomorrow|before yesterday)\b"
    r"|\b(?:today|tonight|tomorrow|yesterday|heute|morgen|gestern|aujourd'hui|demain|hier|hoy|mañana|ayer)\b"
    r"|\b(?:next|last|this|on)\s(?:week(?:end)?|month|year|mon|tues|wednes|thurs|fri|satur|sun|spring|summer|winter)"
    r"(?:day)?\b"
    r"|\b(?:in|for)\s(?:a|an|two|three|\d{1,3})\s(?:day|week|month|year|hour)s?\b"
    r"|\b(?:a|two|three|\d{1,3})\s(?:day|week|month|year)s?\sago\b"
    r"|\b(?:mon|tues|wednes|thurs|fri|satur|sun)day\b"
    r"|\b(?:\d{1,2}(?:st|nd|rd|th)?\.?\s(?:of\s)?)?"
    r"(?:january|february|march|april|june|july|august|september|october|november|december|"
    r"januar|februar|märz|juni|juli|oktober|dezember|janvier|février|mars|avril|juin|juillet|août|"
    r"enero|febrero|marzo|junio|julio|agosto|octubre|diciembre)\b"
    r"(?:\s\d{1,2}(?:st|nd|rd|th)?\b)?(?:,?\s\d{4}\b)?|\b\d{1,2}(?:st|nd|rd|th)?\s(?:of\s)?may\b|\bMay \d{1,2}\b",
    re.IGNORECASE,
)


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_DATE_WORDS = _set(
    "today tonight tomorrow yesterday next last week month year days weeks months years hours ago day "
    "monday tuesday wednesday thursday friday "
    "saturday sunday january february march april may june july august september october november december heute "
    "morgen gestern aujourd'hui demain hier hoy mañana ayer januar februar märz juni juli oktober dezember "
    "janvier février mars avril juin juillet août enero febrero marzo junio julio agosto octubre diciembre"
)
_NEVER_NAMES = _set(
    "i i'm i've i'd i'll ok okay lol omg wtf btw imo imho afaik fyi asap pm am tv usa ii idk tbh yes no and the "
    "but so if monday tuesday wednesday thursday friday saturday sunday january february march april may june "
    "july august september october november december please thanks what why how who when where which"
)
_PERSON_CUES = _set(
    "with friend brother sister mother father mom mum dad wife husband boyfriend girlfriend partner colleague "
    "boss daughter son uncle aunt cousin named called met told asked tell ask mit freund freundin avec con amigo "
    "amiga mr mrs ms dr"
)
_PLACE_CUES = _set("in at from near to visiting visit visited nach aus à en desde vers leaving towards")
_EMPTY = _set(
    "the and but for not you your yours are was were been being has have had having does did doing don this that "
    "these those there here then than them they their theirs its his her hers him she our ours who whom whose "
    "which what when where why how all any both each few more most other some such nor only own same too very can "
    "could will would shall should may might must just now also get got gets getting give gives given let lets "
    "make makes made going goes gone went come comes came want wants wanted need needs needed like likes liked "
    "know knows knew think thinks thought say says said see sees saw look looks looked tell tells told ask asks "
    "asked use uses used using try tries tried thing things something anything nothing everything someone anyone "
    "everyone one two lot lots way ways really maybe please thanks thank yeah yes nope okay well good great nice "
    "bad sure back about into from with without over under after before again once out off down through because "
    "while until still even much many every always never ever sometimes already yet though although hello hey hi "
    "new old able work works put take takes took today tomorrow yesterday lol day time anybody somebody nobody "
    "everybody right since i'm i've i'd i'll it's that's don't can't won't doesn't isn't"
)
_GREETINGS = _set(
    "hi hello hey heya hiya yo morning greetings howdy sup hallo moin servus guten salut bonjour bonsoir coucou "
    "hola buenos buenas ciao buongiorno olá oi hoi привет здравствуйте "
    "こんにちは おはよう 你好 안녕 안녕하세요 مرحبا สวัสดี "
    "merhaba"
)
_TIMES_OF_DAY = _set("morning afternoon evening day")
_THANKS = _set(
    "thanks thank thx ty tysm cheers danke dankeschön merci gracias grazie obrigado obrigada bedankt dank спасибо "
    "ありがとう 谢谢 謝謝 감사합니다 شكرا teşekkürler"
)
_SMALLTALK = _set(
    "lol lmao rofl haha hahaha hehe xd ok okay k kk yes yeah yep yup no nope nah sure cool nice wow omg same true "
    "right indeed hm hmm oh ah well good night gn gm bye cya brb wb great brilliant np welcome ja nein oui non sí "
    "genau"
)
_EMPTY |= _GREETINGS | _THANKS | _SMALLTALK | _TIMES_OF_DAY
_ASKING = _set(
    "what what's whats who who's whose whom which when where where's why how how's is are was were do does did "
    "can could will would should shall may has have am isn't aren't don't doesn't didn't won't can't was wer wen "
    "wem welche welcher wann wo warum wieso weshalb wie woher wohin qui que quoi quand où pourquoi comment "
    "combien quel quelle quién qué cuándo dónde cómo cuál cuánto chi cosa quando dove perché quem onde porque wat "
    "wie waar wanneer waarom hoe"
)
_NOT_ASKING = tuple(
    "what a |how nice|how lovely|how sad|how awful|when i |when we |when you |will do|do not|don't|have a |have fun|"
    "may the|which is|which i|who knows|was für ein|que bueno|have been|was just|was thinking|am going".split("|")
)
_REQUEST = re.compile(
    r"^(?:hey |hi |ok |so |and )?(?:can|could|would|will) (?:you|u|someone|somebody|anyone|anybody)\b"
    r"|\b(?:please|pls|plz)\b|\bwould you mind\b"
    r"|^(?:i need|i'd like|i would like|i want) (?:you|help|to know|a|an|some)\b"
    r"|\b(?:bitte|kannst du|könntest du|können sie|könnten sie)\b"
    r"|\b(?:peux-tu|pouvez-vous|pourrais-tu|pourriez-vous|s'il te plaît|s'il vous plaît|stp|svp)\b"
    r"|\b(?:puedes|podrías|puede usted|por favor|puoi|potresti|per favore|pode|poderia|kun je|alsjeblieft)\b"
)
_IMPERATIVES = _set(
    "tell show give explain write help find make create list summarise summarize translate describe fix add "
    "remove remind suggest recommend compare check send open draw generate convert calculate name draft rewrite "
    "repeat stop schreib erkläre erklär zeig hilf übersetze explique écris montre aide explica escribe muestra "
    "ayuda traduce"
)
_TROUBLE = re.compile(
    r"\b(?:(?:doesn't|does not|don't|didn't|isn't|won't|not|never) (?:work|working|load|start|help|respond)\w*"
    r"|broken|keeps? (?:crashing|failing|freezing)|crash(?:es|ed)|useless|unacceptable|fed up|sick of|terrible|awful"
    r"|funktioniert nicht|geht nicht|kaputt|ne (?:marche|fonctionne) pas|no funciona)\b"
)
_NOT = _set("not no never nothing hardly without cannot nicht kein keine pas jamais ne nunca non não niet geen")
_STRESS = _set("very so really extremely totally absolutely super too incredibly sehr total très muy molto muito heel")
_TONE: dict[str, float] = {
    word: value
    for value, words in (
        (0.4, "good nice fine glad cool helpful useful ok happy fun like enjoy enjoyed easy gut schön bon bien"),
        (0.6, "thanks thank great love lovely loved awesome excited proud danke merci gracias genial super"),
        (0.8, "amazing excellent perfect wonderful fantastic brilliant best beautiful toll parfait excelente"),
        (-0.4, "bad sad slow annoying wrong problem bug tired bored boring confused difficult schlecht mal"),
        (-0.5, "broken angry annoyed frustrated frustrating upset hate hated worried ugly sucks fail failed error"),
        (-0.5, "lost sorry crashes crashed crashing kaputt triste mauvais malo"),
        (-0.8, "terrible awful horrible worst useless disgusting unacceptable furious furchtbar"),
    )
    for word in words.split()
}
_SIGNS = {
    sign: value
    for value, signs in (
        (0.5, ":) :-) :D ;) 😀 😄 🙂 😂 👍 🙏"),
        (0.7, "<3 😊 ❤ 😍 🎉 🥰"),
        (-0.5, ":( :-( 😢 😭 😞 😩"),
        (-0.7, ":'( 😡 🤬 👎 😠 💔"),
    )
    for sign in signs.split()
}
_SCRIPTS = tuple(
    (code, re.compile(pattern))
    for code, pattern in (
        ("ja", r"[\u3040-\u30ff]"),
        ("ko", r"[\uac00-\ud7af\u1100-\u11ff]"),
        ("zh", r"[\u4e00-\u9fff]"),
        ("uk", r"[іїєґІЇЄҐ]"),
        ("ru", r"[\u0400-\u04ff]"),
        ("fa", r"[پچژگ]"),
        ("ar", r"[\u0600-\u06ff]"),
        ("he", r"[\u0590-\u05ff]"),
        ("el", r"[\u0370-\u03ff]"),
        ("hi", r"[\u0900-\u097f]"),
        ("th", r"[\u0e00-\u0e7f]"),
    )
)
_COMMON = {
    "en": "me no in so if he she did has had i the and is are was you it that this with for have not what do "
    "can i'm it's don't of to my we they will "
    "be how your from there would could should about does hello thanks",
    "de": "der die das und ist nicht ich du wir ihr ein eine mit auf für zu wie was aber auch den dem bin habe hast "
    "kann kannst mein meine noch es im von sich bitte danke hallo wohne seit",
    "fr": "le la les et est pas je tu nous vous un une des avec pour dans que qui mais aussi ce ça suis ai mon ma "
    "c'est j'ai j'habite au du sur bonjour merci où comment",
    "es": "el la los las y es no yo tú nosotros un una con para por que qué pero también soy tengo mi me lo se en "
    "está cómo del al hola gracias vivo muy",
    "it": "il lo la gli e è non io tu noi un una con per che chi ma anche sono ho mio mia di del della come cosa "
    "ciao grazie questo perché abito",
    "pt": "o a os as e é não eu você nós um uma com para por que quem mas também sou tenho meu minha do da em está "
    "como olá obrigado obrigada isso moro",
    "nl": "de het een en is niet ik jij je wij met voor op wat wie maar ook dit dat ben heb mijn van aan er hoe kan "
    "hallo bedankt naar zijn woon",
}
_LANGUAGE_OF: dict[str, tuple[str, ...]] = {}
for _code, _common in _COMMON.items():
    for _each in _common.split():
        _LANGUAGE_OF[_each] = (*_LANGUAGE_OF.get(_each, ()), _code)
