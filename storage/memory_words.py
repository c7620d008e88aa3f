"""What the words of a line are for recall: those that carry meaning, each by its stem and as a number."""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import blake2b

from .words import GAP, terms

_LETTERS = 4_000
"""Of a text, that are looked at."""

_STOP = frozenset(
    """
    a about actually after again ago ah all almost already also always am an and another any anyone anything anyway are
    around as at away back be because been before being between both bit but by bye came can cannot cause come comes
    coming could d definitely did didn do does doesn doing don done down each either else even ever every everyone
    everything exactly far few for from gave get gets getting give given gives glad go goes going gonna good got gotta
    great guess guy guys had hadn has hasn have haven having he hello her here hers herself hey hi him himself his how i
    if im in into is isn it its itself just kind kinda know knew known last let lets like ll look looking lot lots m
    made make makes making many may maybe me mean might mine more most much must my myself need never next nice no nor
    not nothing now of off often oh ok okay on one ones only onto or other others our ours ourselves out over own
    people please pretty probably put quite rather re really right s said same saw say saying says see seem seems
    seen shall she should shouldn since so some somebody someone something sometimes soon sorry sort still stuff such
    sure t take taken takes taking talk talked talking tell telling than thank thanks that the their theirs them
    themselves then there these they thing things think thinking this those though thought through thus till time times
    to today told tomorrow too took totally toward towards try trying two ugh um under until up upon us use used using
    usually ve very via wanna want wanted wants was wasn way we well went were weren what whatever when where whether
    which while who whole whom whose why will with within without won wont would wouldn wow y ya yeah year yep yes
    yesterday yet you your yours yourself yourselves
    describe described discuss discussed discussion mention mentioned mentions recently currently conversation
    """.split()
)
"""Words so frequent in talk, or in questions about it, that they tell no line from another."""

_WHEN = re.compile(
    r"(?i)\b(?:yesterday|today|tonight|tomorrow|ago|(?:last|next|this|past|previous|coming|every) "
    r"(?:\w+ )?(?:week|month|year|night|morning|afternoon|evening|weekend|spring|summer|autumn|fall|winter|"
    r"mon|tues|wednes|thurs|fri|satur|sun)|(?:mon|tues|wednes|thurs|fri|satur|sun)days?|"
    r"january|february|march|april|june|july|august|september|october|november|december|"
    r"in (?:may|19\d\d|20\d\d)|since|(?:a|one|two|three|four|five|six|seven|eight|nine|ten|\d+|few|couple of) "
    r"(?:day|week|month|year)s?|weekend|\d{1,2}(?:st|nd|rd|th)|(?:19|20)\d\d)\b"
)

_ASKS_WHEN = re.compile(r"(?i)\b(?:when|(?:what|which) (?:date|day|month|year|time|week)|how long ago|since when)\b")


def tells_when(text: str) -> bool:
    """Whether a line says when something was, is or will be."""
    return _WHEN.search(text[:_LETTERS]) is not None


def asks_when(question: str) -> bool:
    """Whether a question asks for a time."""
    return _ASKS_WHEN.search(question) is not None


def stems(text: str) -> list[str]:
    """The stems of the words that carry meaning, each once, in order."""
    said = (word for word in terms(text[:_LETTERS]) if word != GAP and word not in _STOP)
    return list(dict.fromkeys(stem(word) for word in said if len(word) > 1 or not word.isascii() or word.isdigit()))


@lru_cache(maxsize=20_000)
def stem(word: str) -> str:
    """The word without the endings of English: `painted`, `paints`, `painting` and `painter` are one."""
    word = _SAME.get(word, word)
    if len(word) < 4 or not word.isascii() or not word.isalpha():
        return word
    for ending, instead in _ENDINGS:
        if word.endswith(ending):
            rest = word[: len(word) - len(ending)]
            if len(rest) + len(instead) >= 3 and re.search("[aeiouy]", rest):
                word = rest + instead
                break
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "aeiouls":
        word = word[:-1]  # runn(ing) → run
    if len(word) > 3 and word[-1] == "e":
        word = word[:-1]
    return word[:-1] + "i" if len(word) > 2 and word[-1] == "y" and word[-2] not in "aeiou" else word


_SAME = {
    form: group.split()[0]
    for group in """
    bite bit bitten; blow blew blown; break broke broken; bring brought; build built; buy bought; catch caught;
    choose chose chosen choice; deal dealt; dig dug; draw drew drawn; dream dreamt; drink drank drunk; drive drove
    driven; eat ate eaten; fall fell fallen; feed fed; feel felt; fight fought; find found; fly flew flown flight;
    forget forgot forgotten; forgive forgave forgiven; freeze froze frozen; grow grew grown growth; hang hung; hear
    heard; hide hid hidden; hold held; keep kept; lead led; learn learnt; leave left; lend lent; lose lost loss;
    meet met; pay paid; ride rode ridden; ring rang rung; rise rose risen; run ran; sell sold sale; send sent; sew
    sewn; shake shook shaken; shine shone; shoot shot; show shown; sing sang sung song; sink sank sunk; sit sat;
    sleep slept asleep; speak spoke spoken speech; spend spent; stand stood; steal stole stolen; stick stuck; strike
    struck; swear swore sworn; swim swam swum; teach taught; tear tore torn; throw threw thrown; understand
    understood; wake woke woken; wear wore worn; weave wove woven; win won; write wrote written; lay laid; lie lain
    lying; die died dying dead death; marry married marriage wedding; bear born birth; child children kid kids; man
    men; woman women; foot feet; tooth teeth; live lives life; wife wives; leaf leaves; mouse mice; mother mum mom
    mummy mommy mama; father dad daddy papa; grandmother grandma granny gran nana; grandfather grandpa grandad
    granddad; photo photos photograph photographs pic pics picture pictures; bike bikes bicycle bicycles; film films
    movie movies; flat flats apartment apartments; uni university universities; exam exams examination test tests;
    doctor doctors dr; tv television telly; holiday holidays vacation vacations; job jobs; shop shops store stores;
    buddy buddies friend friends pal pals mate mates; ill illness sick sickness; colour color; favourite favorite;
    neighbour neighbor; theatre theater; centre center; birthday bday; advice advise; fiance fiancé engaged
    engagement; decide decision; grandson grandsons; weigh weight; high height; deep depth; strong strength; long
    length; angry anger; hungry hunger; proud pride; able ability; busy business; explain explanation; receive
    received receipt; visit visited visitor; sad sadness upset; start starts started starting begin began begun
    begins beginning; quit quits resign resigned resignation; gift gifts present presents; injure injured injury
    injuries hurt hurts; scared scare afraid fear fears frightened; trip trips travel travels journey journeys;
    hobby hobbies; big large huge enormous; small little tiny; repair repairs repaired fix fixes fixed mend mends
    mended
    """.split(";")
    for form in group.split()
}
"""Forms that no ending tells, and a few names of the same thing, by what stands for them."""
_ENDINGS = (
    ("ational", "ate"), ("ization", "ize"), ("fulness", "ful"), ("iveness", "ive"), ("ousness", "ous"),
    ("ments", ""), ("nesses", ""), ("ations", "ate"), ("ition", "it"), ("ation", "ate"), ("ingly", ""), ("ings", ""),
    ("ness", ""), ("ment", ""), ("sses", "ss"), ("ies", "y"), ("ied", "y"), ("ers", ""), ("ors", "or"),
    ("ing", ""), ("ful", ""), ("ily", "y"), ("ed", ""), ("er", ""), ("ly", ""), ("ss", "ss"), ("us", "us"),
    ("is", "is"), ("ches", "ch"), ("shes", "sh"), ("xes", "x"), ("s", ""),
)  # fmt: skip


@lru_cache(maxsize=50_000)
def number(stem: str) -> int:
    """A stem as a number of 63 bits: the index holds no words of its own that could outlive their line."""
    return int.from_bytes(blake2b(stem.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big") >> 1
