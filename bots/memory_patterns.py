"""How people say what is worth knowing of them: patterns of whole clauses, with what each of them means.

A pattern begins where a clause begins, so that what somebody else said, thought or would do never matches.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pattern:
    """A way of saying something of oneself. `text` is in the third person; `{name}` is the speaker."""

    sense: re.Pattern[str]
    attribute: str
    text: str
    importance: float = 0.5
    ended: bool = False
    procedural: bool = False


_PROPER = (
    r"(?:(?:the|The) )?[A-ZÀ-Þ][\w'’.-]*(?:[ -](?:[A-ZÀ-Þ][\w'’-]*|of|de|upon|am"
    r"|and(?= [A-Z])))*(?:, [A-ZÀ-Þ][\w'’-]+)?"
)
_LOWER = (
    r"(?!(?:a|an|the|my|your|this|that|it|fear|hope|hell|denial|constant|peace|pain|total|sin|bed|here|there"
    r"|one)\b)[a-z]{3,}"
)
"""A place or a firm as those write it who write no capitals."""
_PLACE = rf"(?P<value>{_PROPER}|{_LOWER}(?= *$| now\b| since\b| with\b| for\b))"
_FIRM = rf"(?P<value>{_PROPER})"
_NAME = r"(?P<value>[A-ZÀ-Þ][\w'’-]+(?: [A-ZÀ-Þ][\w'’-]+)?)"
_END = (
    r"(?=\s*(?:$|,|\(| (?:now|since|with|for|from|last|this|in|because|where|and|but|as|so|right|at the moment"
    r"|anymore)\b))"
)
_IAM = r"(?:I(?:'m| am)|Im|i'm|im|i am)"
_I = r"[Ii]"
_HAVE = r"(?:[Ii](?:'ve| have))"
_STEADILY = r"(?:currently |now |actually |still |also |just |recently |finally |really |absolutely |mostly )*"
_THING = (
    r"(?!(?:it|that|this|these|those|them|him|her|you|your|yours|u|how|what|when|where|who|why|the|to (?:be"
    r"|think|say|know|see"
    r"|thank|ask|add|point|remind|hear|announce)|his|their|my|our|being|having|seeing|and|but|or|so|not|all"
    r"|both|everything|"
    r"everyone|nothing|something|anything|one|each|everybody|about|for|in|as|if"
    r"|where)\b)(?P<value>[^,.;:!?()]{3,60}?)"
    r"(?=\s*(?:$|[,.;:!?()]| (?:but|because|so|since|when|although|though|too|as well|a lot|very much|anymore"
    r"|any more|and (?:I|my|we))\b))"
)
_KIN = (
    r"(?P<kin>sister|brother|mother|mom|mum|father|dad|wife|husband|partner|girlfriend|boyfriend|son|daughter"
    r"|grandmother|"
    r"grandma|grandfather|grandpa|uncle|aunt|cousin|best friend|roommate|flatmate|boss|fiancée?|twin)"
)
_PET = (
    r"(?P<pet>dog|puppy|cat|kitten|hamster|rabbit|bunny|horse|parrot|bird|fish|snake|lizard|turtle|tortoise"
    r"|guinea pig|"
    r"goat|chicken|pet)"
)
_JOBS = (
    "teacher|nurse|doctor|developer|engineer|designer|student|lawyer|programmer|chef|cook|baker|writer|journalist|"
    "photographer|musician|artist|architect|accountant|scientist|researcher|professor|electrician|plumber|carpenter|"
    "mechanic|pilot|dentist|pharmacist|librarian|translator|consultant|analyst|sysadmin|farmer"
    "|gardener|"
    "waiter|waitress|bartender|barista|paramedic|firefighter|therapist|psychologist|vet|veterinarian|biologist"
    "|chemist|"
    "physicist|mathematician|economist|historian|editor|producer|actor|actress|dancer|singer|driver|salesperson|"
    "electrical engineer|freelancer|contractor|intern|apprentice|retiree|midwife|surgeon|social worker|data "
    "scientist|"
    "project manager|product manager|store manager|machinist|welder|tutor|lecturer|animator|illustrator|tester"
    "|devops engineer"
)
_OWNED = (
    r"dogs?|puppy|puppies|cats?|kittens?|hamsters?|rabbits?|horses?|parrots?|birds?|snakes?|turtles?|tortoises?|"
    r"chickens?|goats?|sisters?|brothers?|siblings|sons?|daughters?|kids?|children|child|twins|wife|husband"
    r"|girlfriend|"
    r"boyfriend|car|bike|bicycle|motorcycle|motorbike|boat|garden|greenhouse|house|flat|apartment|guitars?"
    r"|piano|violin|"
    r"drum kit|telescope|camera|laptop|macbook|thinkpad|raspberry pi|3d printer|server|tesla|van|caravan"
    r"|workshop|cello"
)
_DIETS = (
    "vegetarian|vegan|pescatarian|coeliac|celiac|lactose intolerant|gluten intolerant|diabetic|colou?r-?blind"
    "|left-handed|deaf|blind"
)
_LANGUAGES = (
    "english|german|french|spanish|italian|portuguese|dutch|polish|russian|turkish|japanese|korean|chinese"
    "|arabic|deutsch|englisch|français|anglais|español|inglés"
)


def _p(
    sense: str, attribute: str, text: str, importance: float = 0.5, *, ended: bool = False, procedural: bool = False
) -> Pattern:
    return Pattern(re.compile(rf"(?:{sense})"), attribute, text, importance, ended, procedural)


PATTERNS: tuple[Pattern, ...] = (
    _p(rf"{_I} {_STEADILY}(?:live|reside) in {_PLACE}{_END}", "lives_in", "{name} lives in {value}.", 0.7),
    _p(rf"{_IAM} {_STEADILY}(?:living|based) in {_PLACE}{_END}", "lives_in", "{name} lives in {value}.", 0.7),
    _p(rf"(?:{_I}|{_HAVE}) {_STEADILY}(?:moved|relocated) (?:back )?to {_PLACE}{_END}", "lives_in",
        "{name} moved to {value}.", 0.7),
    _p(rf"{_I} (?:no longer live|(?:don't|do not) live) in {_PLACE}(?: any ?more)?{_END}", "lives_in",
       "{name} no longer lives in {value}.", 0.6, ended=True),
    _p(rf"(?:{_IAM}|{_I} come) (?:originally )?from {_FIRM}{_END}", "comes_from", "{name} comes from {value}.", 0.6),
    _p(rf"{_I} {_STEADILY}work (?:at|for) {_FIRM}{_END}", "works_at", "{name} works at {value}.", 0.7),
    _p(rf"{_I} (?:no longer work|(?:don't|do not) work|stopped working) (?:at|for) {_FIRM}(?: any ?more)?{_END}",
        "works_at",
       "{name} no longer works at {value}.", 0.6, ended=True),
    _p(rf"{_I} (?:just )?(?:quit|left|lost) my job(?: (?:at|with) {_FIRM})?{_END}", "works_at",
       "{name} left their job.", 0.7, ended=True),
    _p(rf"(?:{_I}|{_HAVE}) {_STEADILY}(?:got|started|took) a (?:new )?job (?:at|with) {_FIRM}{_END}", "works_at",
        "{name} works at {value}.", 0.7),
    _p(rf"{_IAM} {_STEADILY}an? (?P<value>(?:[\w-]+ ){{0,3}}(?:{_JOBS}))\b(?!['’-])", "works_as",
       "{name} is {an} {value}.", 0.7),
    _p(rf"{_I} {_STEADILY}work as an? (?P<value>[\w-]+(?: [\w-]+){{0,3}}?){_END}", "works_as",
        "{name} works as {an} {value}.", 0.7),
    _p(rf"(?:{_IAM} {_STEADILY}studying|{_I} {_STEADILY}study) (?!every|hard|all|a lot|at|in|for|with|best"
       rf"|when|so|too|more)"
       rf"(?P<value>[\w-]+(?: (?!at\b|in\b)[\w-]+){{0,3}}?)(?= at| in"
       rf"|{_END})", "studies", "{name} studies {value}.", 0.6),
    _p(rf"{_I} {_STEADILY}(?:love|like|enjoy|adore) {_THING}", "likes", "{name} likes {value}.", 0.5),
    _p(rf"{_IAM} an? (?:big |huge |massive )?fan of {_THING}", "likes", "{name} likes {value}.", 0.5),
    _p(rf"{_I} {_STEADILY}prefer {_THING}", "prefers", "{name} prefers {value}.", 0.6),
    _p(rf"{_I} {_STEADILY}(?:hate|dislike|loathe|can't stand|cannot stand|don't like|do not like"
       rf"|no longer like) {_THING}",
       "dislikes", "{name} does not like {value}.", 0.5),
    _p(r"[Mm]y (?:all-time )?favou?rite (?P<what>[\w-]+(?: [\w-]+)?) (?:is"
       r"|are) (?!not\b)(?P<value>[^,.;:!?()]{2,60}?)\s*$",
       "favourite_{what}", "{name}'s favourite {what} is {value}.", 0.6),
    _p(rf"{_IAM} (?:severely |very "
       rf"|highly )?allergic to {_THING}", "allergic_to", "{name} is allergic to {value}.", 0.9),
    _p(rf"{_IAM} {_STEADILY}(?:an? )?(?P<value>{_DIETS}){_END}", "is", "{name} is {value}.", 0.8),
    _p(rf"(?:{_HAVE}(?: got)?|{_I} own|{_I}(?:'ve)? got) (?P<value>(?:an?|one|two|three|four|five|six"
       rf"|\d) (?:[\w-]+ ){{0,2}}(?:{_OWNED})"
       rf"(?: (?:called|named) [A-Z]\w+(?: and [A-Z]\w+)?)?){_END}", "has", "{name} has {value}.", 0.6),
    _p(rf"[Mm]y {_PET}(?:'s name is| is (?:called|named)| name is) {_NAME}{_END}", "{pet}_name",
        "{name}'s {pet} is called {value}.", 0.6),
    _p(rf"[Mm]y {_KIN}(?:'s name is| is (?:called|named)) {_NAME}{_END}", "{kin}_name", "{name}'s {kin} is "
        "called {value}.", 0.6),
    _p(rf"[Mm]y {_KIN} (?:lives"
       rf"|is living) in {_PLACE}{_END}", "{kin}_lives_in", "{name}'s {kin} lives in {value}.", 0.5),
    _p(rf"[Mm]y {_KIN} (?:works (?:at|for)) {_FIRM}{_END}", "{kin}_works_at", "{name}'s {kin} works at {value}.", 0.5),
    _p(rf"[Mm]y {_KIN} is an? (?P<value>(?:[\w-]+ ){{0,2}}(?:{_JOBS}))\b(?!['’-])", "{kin}_works_as",
        "{name}'s {kin} is {an} {value}.", 0.5),
    _p(r"[Mm]y name is (?:(?:Dr|Mr|Mrs|Ms|Prof)\. )?" + _NAME, "name", "{name} says their name is {value}.", 0.8),
    _p(r"[Mm]y pronouns are (?P<value>\w+(?:/\w+)+)", "pronouns", "{name}'s pronouns are {value}.", 0.8),
    _p(r"[Mm]y birthday is (?:on )?(?:the )?(?P<value>(?:\d{1,2}(?:st|nd|rd|th)?\.? (?:of )?[A-Z][a-z]+"
       r"|[A-Z][a-z]+ \d{1,2})"
       r"(?:st|nd|rd|th)?(?:,? \d{4})?)", "birthday", "{name}'s birthday is {value}.", 0.8),
    _p(rf"{_I} was born (?:in|on) (?:the )?(?P<value>[A-Z]\w+(?: \w+)?|\d{{4}}"
       rf"|\d{{1,2}}\w* (?:of )?[A-Z]\w+(?: \d{{4}})?){_END}",
       "born", "{name} was born in {value}.", 0.7),
    _p(rf"(?:{_IAM} (?P<value>\d{{1,2}}) years old|{_I} (?:just )?turned (?P<value2>\d{{2}})\b(?! (?:in|left|right)))",
        "age",
       "{name} is {value} years old.", 0.5),
    _p(rf"{_I} (?:can )?speak (?:fluent |some |a little )?(?P<value>[A-Z]\w+(?:(?:,| and|, and) (?:some "
       rf"|a little )?[A-Z]\w+)*){_END}",
       "speaks", "{name} speaks {value}.", 0.6),
    _p(rf"{_IAM} {_STEADILY}learning (?:how )?(?!a lot|so much|that|this|from|as|by|more|about"
       rf"|it\b)(?P<value>[^,.;:!?()]{{3,40}}?){_END}",
       "learns", "{name} is learning {value}.", 0.5),
    _p(rf"{_IAM} {_STEADILY}(?:building|writing|developing|making|working on) (?P<value>(?:an?|my"
       rf"|our) [^,.;:!?()]{{3,60}}?){_END}",
       "project", "{name} is working on {value}.", 0.5),
    _p(rf"{_IAM} {_STEADILY}(?P<value>married|engaged|divorced|retired|pregnant)(?: to [A-Z]\w+)?{_END}", "is",
        "{name} is {value}.", 0.6),
    _p(r"(?:[Pp]lease |[Yy]ou can |[Jj]ust )*[Cc]all me (?!Maybe|When|If|Back"
       r"|Later)(?P<value>[A-ZÀ-Þ][\w'’-]+)\s*(?:$|,|please| from now| instead)",
       "call_me", "{name} wants to be called {value}.", 0.9, procedural=True),
    _p(rf"(?:[Pp]lease )?(?:[Aa]lways |[Ff]rom now on,? )*(?:[Aa]nswer|[Rr]eply|[Rr]espond|[Ss]peak"
       rf"|[Tt]alk)(?: to me| me)? (?:only )?in "
       rf"(?P<value>(?i:{_LANGUAGES}))\b", "answer_in", "{name} wants answers in {value}.", 0.8, procedural=True),
    _p(r"(?:[Pp]lease )?(?:[Aa]lways )?(?:[Kk]eep (?:it|your answers|your replies|answers"
       r"|replies) (?P<value>short|brief|simple|concise)|"
       r"[Bb]e (?P<value2>brief|concise))\b",
       "answer_length", "{name} wants answers kept {value}.", 0.7, procedural=True),
    # German, French and Spanish
    _p(rf"[Ii]ch (?:wohne|lebe) (?:jetzt |seit \w+ "
       rf"|inzwischen )*in {_FIRM}", "lives_in", "{name} lives in {value}.", 0.7),
    _p(rf"[Ii]ch bin (?:\w+ )?nach {_FIRM} (?:um)?gezogen", "lives_in", "{name} moved to {value}.", 0.7),
    _p(rf"(?:[Ii]ch hei(?:ß|ss)e|[Mm]ein [Nn]ame ist|[Jj]e m'appelle|[Mm]e llamo) {_NAME}", "name",
        "{name} says their name is {value}.", 0.8),
    _p(rf"[Nn]enn(?:t)? mich (?:bitte )?{_NAME}"
       rf"", "call_me", "{name} wants to be called {value}.", 0.9, procedural=True),
    _p(rf"[Aa]ntworte (?:mir )?(?:bitte )?(?:immer )?auf (?P<value>(?i:{_LANGUAGES}))\b", "answer_in",
        "{name} wants answers in {value}.",
       0.8, procedural=True),
    _p(rf"[Ii]ch arbeite (?:bei|für) {_FIRM}", "works_at", "{name} works at {value}.", 0.7),
    _p(rf"(?:[Jj]'habite|[Jj]e vis) (?:à|en|au) {_FIRM}", "lives_in", "{name} lives in {value}.", 0.7),
    _p(rf"[Jj]e travaille chez {_FIRM}", "works_at", "{name} works at {value}.", 0.7),
    _p(rf"(?:[Yy]o )?[Vv]ivo en {_FIRM}", "lives_in", "{name} lives in {value}.", 0.7),
    _p(rf"(?:[Yy]o )?[Tt]rabajo (?:en|para) {_FIRM}", "works_at", "{name} works at {value}.", 0.7),
)  # fmt: skip
