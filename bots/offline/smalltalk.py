"""Greetings, thanks and "what can you do": short replies that say honestly what works without a model."""

from __future__ import annotations

import re

from ..terms import folded
from .phrases import plain

_TOPICS_NAMED = 8


def reply(question: str, name: str, topics: list[str]) -> str | None:
    """The reply to a line that is talk and no question of substance; None for anything else. `name` is the
    persona's, empty if unknown; `topics` are the titles of its notes."""
    text = " ".join(re.sub(r"[^\w\s'+]|_", " ", folded(question)).split())
    if name:
        text = text.removesuffix(f" {folded(name)}")
    if _IN_DANGER.search(text):
        return _HELP_LINE
    if not text or text == folded(name):
        return _abilities(name, topics) if text or not question.strip(" ?!.") else _HELPLESS
    if len(text) > _LONGEST:
        return None
    for pattern, kind in _KINDS:
        if pattern.fullmatch(text):
            return _abilities(name, topics) if kind == "abilities" else _said(kind, name)
    opening = _OPENING.match(text)
    rest = reply(text[opening.end() :], name, topics) if opening else None
    return f"Hello! {rest}" if rest and rest.startswith(_WELL) else rest


def about_memory(question: str) -> str | None:
    """The reply to somebody who asks what is remembered, or says what is to be remembered or forgotten: what does that.
    None for anything else."""
    text = plain(question)
    if _ASKS_WHAT_IS_KNOWN.fullmatch(text):
        return (
            "That takes a command: `/memory list` shows what I remember of you and may tell you here. Whoever runs me "
            "sees it at a terminal with `troupe memory list`. Here I tell of earlier talk where a question fits it."
        )
    if _WANTS_FORGETTING.fullmatch(text):
        return (
            "That takes a command, and nothing is forgotten yet: `/privacy forget` removes what you said and what I "
            "know of you, `/memory forget` one thing. At a terminal `troupe memory forget` removes one thing."
        )
    if _WANTS_REMEMBERING.match(text) and not question.rstrip().endswith("?"):
        return (
            "Noted: I can quote it later in this chat. To have me remember it beyond this chat, use `/memory remember`,"
            " or `troupe memory remember` at a terminal."
        )
    return None


def _abilities(name: str, topics: list[str]) -> str:
    shown = ", ".join(topics[:_TOPICS_NAMED]) + (" and more" if len(topics) > _TOPICS_NAMED else "")
    notes = [f"- quote my notes on {shown}"] if topics else []
    return "\n".join(
        (
            f"{_who(name)} No language model is at hand right now, but I can still:",
            *notes,
            "- recall this chat: “what did I say about …”, “what did Ana say”, “summarise”",
            "- do sums: “12% of 80”, “sqrt(2)”, “17 * 23”",
            "- do dates: “how many days until 25 December”, “what day was 2024-02-29”",
            "",  # without it the sentence is read as part of the last point
            "For free conversation an admin can turn on a model: see the README.",
        )
    )


def _said(kind: str, name: str) -> str:
    offline = (
        "I'm working offline, without a language model: I can quote my notes, recall this chat, and do sums and dates."
    )
    match kind:
        case "greeting":
            return f"Hello! {_who(name)} {offline} What can I do for you?".replace("  ", " ")
        case "wellbeing":
            return f"{_WELL} {offline}"
        case "thanks":
            return "You're welcome!"
        case "goodbye":
            return "Goodbye, and see you soon!"
        case "who":
            return f"{_who(name, bot=True)} {offline} An admin can turn on a model: see the README."
        case "idle":
            return "Nothing is under way that I could stop."
        case "here":
            return "Yes, I'm here."
        case _:
            return "All right. Ask me whenever you like."


def _who(name: str, *, bot: bool = False) -> str:
    if name:
        return f"I'm {name}, a bot." if bot else f"I'm {name}."
    return "I'm a bot." if bot else ""


_WELL = "All is well here, thank you!"
_LONGEST = 80
"""Letters; small talk is short."""
_HELPLESS = "I can't read anything into that without words. Try “help” to see what I can do."
_IN_DANGER = re.compile(
    r"\b(?:kill|hurt|harm)(?:ing)? my ?self\b|\bend(?:ing)? my life\b"
    r"|\bi\b.*\b(?:suicidal|want to die|wanna die)\b|\bi don'?t want to (?:live|be alive)\b"
)
_HELP_LINE = (
    "I'm sorry that it is this hard. I'm only a program, and without a model just now: please talk to somebody you "
    "trust, and if you may be in danger call your local emergency number or a crisis line right away."
)
_KNOWN = r"(?:know|remember|recall|learn(?:ed|t)?|remembered|stored?|saved?|kept|noted|have)"
_ASKS_WHAT_IS_KNOWN = re.compile(
    rf"(?:what|everything|anything)(?: all| else)?(?: (?:do|did|have|can))? you(?: still| really| actually)? {_KNOWN}"
    r"(?: stored| saved| noted)? (?:about|of|on|from) me(?: (?:so far|now|already|then|by now))?"
    rf"|(?:do|can) you {_KNOWN} (?:anything|something) (?:about|of) me"
    r"|(?:show|list)(?: me)? (?:your|my|the) memor(?:y|ies)(?: (?:about|of) me)?"
)
_WANTS_FORGETTING = re.compile(
    r"(?:forget|delete|erase|remove|wipe|clear)(?: (?:about )?me| (?:everything|it all|all|what)"
    r"(?: (?:that )?(?:you (?:know|have|remember|stored|learned)|i (?:have )?(?:said|told you|wrote)))?"
    r"(?: (?:about|of|on|from) me)?| (?:all )?(?:of )?my (?:data|messages|memor(?:y|ies)|history))"
)
_WANTS_REMEMBERING = re.compile(
    r"(?:remember|memori[sz]e|note|keep in mind|make a note|do(?:n't| not) forget)(?: that|:|,| this:) \S"
)
_TO_WHOM = (
    "(?: (?:there|all|everyone|everybody|folks|guys|team|bot|friend|mate|again|please|pls|you|so much|now|zusammen|alle"
    "|leute|freunde|a todos|amig[oa]s?|tout le monde|a tous|les amis))*"
)
_PHRASES = {
    "greeting": r"""
        h+i+|h+e+y+|hell+o+|helo|heya|hiya|yo|howdy|greetings|good (?:morning|afternoon|evening|day)|gm|morning|sup
        (?:hi|hello|hey) (?:nice|good) to (?:meet|see) you|nice to meet you
        hallo|moin|servus|gruezi|guten (?:tag|morgen|abend)|bonjour|salut|bonsoir|coucou
        hola|buenos dias|buenas(?: tardes| noches)?|ciao|buongiorno|ola|oi|bom dia|hej|hei|merhaba|namaste
        привет|здравствуйте|こんにちは|こんばんは|おはよう(?:ございます)?|你好|您好|안녕(?:하세요)?|مرحبا|שלום""",
    "wellbeing": r"""
        (?:(?:hi|hey|hello) )?(?:how (?:are|r) (?:you|u|ya)(?: doing| today| feeling)*|how(?: is|'?s) it going)
        how do you do|what(?: is|'?s)? up|you ok|are you ok(?:ay)?
        wie geht(?:'?s| es)(?: (?:dir|euch|ihnen))?(?: (?:heute|so))?|(?:comment )?ca va(?: bien)?|comment vas tu
        comment (?:allez vous|tu vas)|que tal(?: estas)?|como (?:estas?|te va)|que pasa|come (?:stai|va)|tudo bem""",
    "idle": r"""
        /?stop(?: (?:it|that|talking|now))*|cancel|abort|(?:be )?quiet|shut up|stopp|arrete|para|basta""",
    "thanks": r"""
        (?:(?:ok|okay|great|cool|nice|perfect|many|super) )?(?:thanks|thank (?:you|u)|thx|tnx|ty|tysm|cheers)
        thank you very much|(?:thanks|thank you) for .{1,30}|much appreciated|good bot|well done
        that help(?:ed|s)(?: a lot)?|you(?: are|'re) (?:great|awesome|the best|amazing)
        danke(?: schon)?|vielen dank|merci(?: beaucoup)?|(?:muchas )?gracias|obrigad[oa]|grazie
        ありがとう(?:ございます)?|谢谢|多谢|감사합니다|спасибо""",
    "goodbye": r"""
        (?:good)?bye(?: bye)?|good ?night|gn|see (?:you|ya)(?: later| soon| tomorrow)?|cya|later|ttyl|farewell
        (?:i )?(?:gotta|have to) go|tschuss|adios|au revoir|再见|さようなら""",
    "who": r"""
        (?:so |and )?(?:who|what) (?:exactly )?(?:are|r) (?:you|u)(?: exactly)?|who(?: is|'?s) this|introduce yourself
        what(?: is|'?s)? (?:your|ur) name|do you have a name|tell me about yourself
        are (?:you|u) (?:an? )?(?:real )?(?:bot|human|robot|ai|machine|real|person|alive|conscious|sentient)
        are (?:you|u) (?:an? )?(?:chat ?gpt|gpt ?\d?|claude|gemini|llm|language model)
        who (?:made|built|created|wrote) you|who am i (?:talking|speaking|chatting) (?:to|with)
        (?:what|which) (?:ai |language )?model (?:are you|is this|do you use|are you using|are you running)
        wer bist du|wie heisst du|qui es tu|quien eres|chi sei|你是谁|あなたは誰(?:ですか)?""",
    "abilities": r"""
        (?:so )?what (?:else )?(?:can|could) (?:you|u|i) (?:do|answer|know|ask(?: you)?|help with)(?: for me| here)*
        what do (?:you|u) (?:do|know(?: about)?)|h+e+l+p+(?: me)?|i need (?:some )?help
        can (?:you|u) help(?: me)?(?: out)?
        how (?:do|can) (?:you|i) (?:work|help(?: me)?|use (?:you|this)(?: bot)?)|how does (?:this|it|this bot) work
        commands?|menu|start|(?:list|show)(?: me)?(?: your| all)?(?: the)? (?:topics|notes|commands|abilities)
        (?:what|which) (?:topics|notes)(?: do you (?:have|know|cover))?
        what are your (?:notes|topics|abilities)(?: about)?
        are you (?:offline|online|broken)|why are you (?:offline|so dumb|so stupid)
        how (?:do|can) (?:i|we) (?:turn on|set up|set|configure|add|enable) (?:a|the) model(?: key)?
        que peux tu faire|ayuda|hilfe|aide|aiuto|ajuda|was kannst du|que puedes hacer|帮助|助けて|你能做什么""",
    "here": r"""
        ping|test(?:ing)?|any(?:one|body) (?:here|there)
        (?:are )?(?:you|u) (?:still )?(?:there|here|awake|up|alive|working)""",
    "acknowledged": r"""
        ok(?:ay)?|k|kk|ok cool|cool|nice(?: one)?|great|lo+l|(?:ha)+h?|yes|no|yep|yeah|nope|nah|sure|got it|i see|right
        good|awesome|wow|h+m+|alright|all right|perfect|np|no problem|never ?mind|nvm|oh|ah|interesting|understood
        makes sense|fair enough|sorry|ja|nein|oui|non|si""",
}
_PATTERNS = {
    kind: "|".join(line.strip() for line in folded(phrases).strip().split("\n")) for kind, phrases in _PHRASES.items()
}
_KINDS = [(re.compile(rf"(?:{pattern}){_TO_WHOM}"), kind) for kind, pattern in _PATTERNS.items()]
_OPENING = re.compile(rf"(?:{_PATTERNS['greeting']}|{_PATTERNS['thanks']}|ok|okay){_TO_WHOM}\s+(?=\S)")
"""What people say before what they want to say."""
