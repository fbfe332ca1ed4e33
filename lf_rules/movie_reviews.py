"""Labeling functions of the sample project: what a film review says, Positive, Negative or Neutral.

Each votes from one kind of evidence, in the words or in a field beside them, and abstains when it sees none. They are
honest rules of thumb: some are wrong now and then, and they contradict each other. The label model sorts that out.
"""

import math
import re

from backend.domain.rules import TaskFields, Vote, labeling_function


def _any_of(phrases: str) -> re.Pattern[str]:
    """A pattern that finds any of the phrases, given as `a|b|c`, as whole words."""
    return re.compile(rf"\b(?:{phrases})\b")


_PRAISE = _any_of(
    r"great|good|amazing|awesome|fantastic|wonderful\w*|excellent|brilliant\w*|superb\w*|perfect\w*|beautiful\w*"
    r"|stunning|gorgeous|lovely|charming|delight\w*|hilarious|thrilling|gripping|moving|touching|magical|masterpiece"
    r"|outstanding|terrific|marvell?ous|unforgettable|exciting|clever|funny|enjoy(?:ed|able)|love[ds]?|best"
)
_BLAME = _any_of(
    r"bad\w*|awful\w*|terribl[ey]|horribl[ey]|dreadful\w*|boring|bored|dull\w*|tedious|stupid\w*|pointless|worst"
    r"|worse|weak|poor\w*|lazy|mess|rubbish|disappoint\w*|ridiculous|annoying|unfunny|hate[ds]?|fail\w*|disaster"
    r"|painful\w*|insult\w*|predictable|laughable|lifeless|cheap|ruin(?:s|ed)|regret"
)
_VIRTUE = _any_of(
    r"good|great|funny|scary|worth|convincing|charm|chemistry|tension|point|idea|sense|fun|joy|story|plot|laugh\w*"
    r"|like|care|works?|interest\w*|recommend|believ\w*|hear|follow|masterpiece"
)
_NOTHING_TO_BLAME = _any_of(
    r"not bad|not once|nothing to complain|no complaints|can't fault|no weak|not a dull|never dull|wasn't bored"
    r"|(?:didn't|don't) hate"
)
_CONTRAST = _any_of("but|although|though|yet|however|whereas|while|still|shame")
_LUKEWARM = _any_of(
    r"ok|okay|alright|decent|average|fine|so-so|passable|watchable|tolerable|adequate|uneven|mixed|forgettable"
    r"|competent\w*|mildly|reasonably|middle|serviceable|unremarkable|nothing special|hit and miss"
)
_HEDGE = _any_of(
    "i guess|i suppose|probably|perhaps|maybe|might|somewhat|somehow|sort of|kind of|a bit|rather|depends|overall"
    "|mostly|not sure|can't decide|in parts|in places"
)
_BOTH_SIDES = _any_of(
    "on the one hand|neither .* nor|parts? of it|in parts|in places|some (?:of|good|scenes|parts)|for every"
    "|first (?:half|hour) .* second|(?:if you|fans) .* (?:if not|if you don't|if you didn't|everyone else)"
    "|no more, no less|(?:better|worse) than .* not as"
)
_IRONY = _any_of(
    r"oh,? great|great, now|bravo|congratulations to|well done, \w+|what a treat|yes, please|sure, if|so this is"
    "|just what (?:the world|we) (?:needed|was waiting for)|thanks for (?:that|nothing)"
    "|how (?:very )?(?:original|deep)|here we go again"
)
_LOST_TIME = _any_of(
    "waste[ds]?|walked out|fell asleep|refunds?|money back|of my life|skip it|avoid|save your(?:self| money| time)"
    "|turned it off|gave up|not worth|hard pass|nobody asked|too long|can't recommend"
)
_COME_BACK = _any_of(
    r"highly recommend\w*|i'd recommend|must[- ]see|worth (?:the|every|staying|seeing)|go (?:and )?see|see it again"
    r"|(?:second|third) time|watched it twice|favou?rites?|can't wait|rewatch\w*|holds? up|couldn't look away"
    r"|goosebumps|cried|laughed"
)
_NEGATION_BEFORE = re.compile(
    r"(?:\b(?:not|no|never|nothing|hardly|without|neither|nor|can't|cannot)|n't)\b(?:\W+\w+){0,2}\W+$"
)
"""A negation with at most two words after it, at the end of a piece of text."""


def _text(task: TaskFields) -> str:
    """The review in lower case with plain apostrophes; "" when it is missing or isn't text."""
    return task.text.lower().replace("\u2019", "'") if isinstance(task.text, str) else ""


def _number(value: object) -> float | None:
    """A finite number, also when it comes as a string (CSV imports bring strings); None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _count(words: re.Pattern[str], text: str, *, negated: bool = False) -> int:
    """How often the words occur with (or without) a negation shortly before them in the same clause."""
    starts = (found.start() for found in words.finditer(text))
    # 60 characters hold three words; looking at more would make a very long text slow.
    clauses = (re.split(r"[.,;:!?]", text[max(0, start - 60) : start])[-1] for start in starts)
    return sum((_NEGATION_BEFORE.search(clause) is not None) == negated for clause in clauses)


@labeling_function(question="sentiment", labels=["Positive"])
def high_rating(task: TaskFields) -> Vote:
    """Rated above 8 by others: `rating: 8.6` is Positive."""
    rating = _number(task.rating)
    return "Positive" if rating is not None and rating > 8 else None


@labeling_function(question="sentiment", labels=["Negative"])
def low_rating(task: TaskFields) -> Vote:
    """Rated below 4 by others: `rating: 2.9` is Negative."""
    rating = _number(task.rating)
    return "Negative" if rating is not None and rating < 4 else None


@labeling_function(question="sentiment", labels=["Positive"])
def many_awards(task: TaskFields) -> Vote:
    """Juries liked it: `awards: 6` is Positive."""
    awards = _number(task.awards)
    return "Positive" if awards is not None and awards >= 5 else None


@labeling_function(question="sentiment", labels=["Positive"])
def small_film_with_awards(task: TaskFields) -> Vote:
    """A festival's darling: `box_office: 1.4, awards: 3` is Positive."""
    awards, box_office = _number(task.awards), _number(task.box_office)
    return "Positive" if awards is not None and box_office is not None and awards >= 3 and box_office < 20 else None


@labeling_function(question="sentiment", labels=["Negative"])
def seen_by_many_liked_by_few(task: TaskFields) -> Vote:
    """Tickets sold, hearts not won: `box_office: 210, rating: 4.4` is Negative."""
    rating, box_office = _number(task.rating), _number(task.box_office)
    return "Negative" if rating is not None and box_office is not None and rating < 5.5 and box_office > 60 else None


@labeling_function(question="sentiment", labels=["Positive"])
def praise(task: TaskFields) -> Vote:
    """More praise than blame and no contrast: "a wonderful film" is Positive; "not good" isn't praise."""
    text = _text(task)
    return "Positive" if _count(_PRAISE, text) > _count(_BLAME, text) and not _CONTRAST.search(text) else None


@labeling_function(question="sentiment", labels=["Negative"])
def blame(task: TaskFields) -> Vote:
    """More blame than praise: "boring and badly acted" is Negative; "not bad" isn't blame."""
    text = _text(task)
    return "Negative" if _count(_BLAME, text) > _count(_PRAISE, text) else None


@labeling_function(question="sentiment", labels=["Negative"])
def something_missing(task: TaskFields) -> Vote:
    """A negation before what a film should have: "it isn't funny", "makes no sense" is Negative."""
    text = _text(task)
    missing = _count(_VIRTUE, text, negated=True) > 0
    return "Negative" if missing and not _count(_PRAISE, text) and not _LUKEWARM.search(text) else None


@labeling_function(question="sentiment", labels=["Positive"])
def nothing_to_blame(task: TaskFields) -> Vote:
    """Praise by way of a negation: "not a dull minute", "I can't fault it" is Positive."""
    text = _text(task)
    return "Positive" if _NOTHING_TO_BLAME.search(text) and not _LUKEWARM.search(text) else None


@labeling_function(question="sentiment", labels=["Neutral"])
def lukewarm_words(task: TaskFields) -> Vote:
    """Words for the middle: "decent", "okay", "nothing special" is Neutral."""
    return "Neutral" if _LUKEWARM.search(_text(task)) else None


@labeling_function(question="sentiment", labels=["Neutral"])
def hedged_at_a_middling_rating(task: TaskFields) -> Vote:
    """Rated in the middle, and the text hedges: `rating: 6.1`, "a bit long, I suppose" is Neutral."""
    rating = _number(task.rating)
    return "Neutral" if rating is not None and 4.5 <= rating <= 7.5 and _HEDGE.search(_text(task)) else None


@labeling_function(question="sentiment", labels=["Neutral"])
def praise_but_blame(task: TaskFields) -> Vote:
    """Praise and what holds it back, around a contrast: "a great cast, but a dull script" is Neutral."""
    text = _text(task)
    contrast = _CONTRAST.search(text)
    if contrast is None or not _count(_PRAISE, text):
        return None
    held_back = _count(_BLAME, text) or _HEDGE.search(text) or _count(_PRAISE, text, negated=True)
    return "Neutral" if held_back else None


@labeling_function(question="sentiment", labels=["Neutral"])
def weighs_both_sides(task: TaskFields) -> Vote:
    """Says of whom or of which part it holds: "good in places", "neither bad nor good" is Neutral."""
    return "Neutral" if _BOTH_SIDES.search(_text(task)) else None


@labeling_function(question="sentiment", labels=["Negative"])
def ironic_praise(task: TaskFields) -> Vote:
    """Praise that means the opposite: "Bravo.", "just what the world was waiting for" is Negative."""
    return "Negative" if _IRONY.search(_text(task)) else None


@labeling_function(question="sentiment", labels=["Negative"])
def time_or_money_lost(task: TaskFields) -> Vote:
    """The viewer left, slept or wants a refund: "a waste of time", "we walked out" is Negative."""
    return "Negative" if _LOST_TIME.search(_text(task)) else None


@labeling_function(question="sentiment", labels=["Positive"])
def would_come_back(task: TaskFields) -> Vote:
    """The viewer was moved or wants more: "highly recommended", "I cried twice" is Positive."""
    text = _text(task)
    return "Positive" if _count(_COME_BACK, text) and not _count(_BLAME, text) else None


@labeling_function(question="sentiment", labels=["Positive"])
def exclaims_without_blame(task: TaskFields) -> Vote:
    """An exclamation mark, no question and no blame: "What a ride!" is Positive."""
    text = _text(task)
    return "Positive" if "!" in text and "?" not in text and not _count(_BLAME, text) else None


@labeling_function(question="sentiment", labels=["Negative"])
def rhetorical_question(task: TaskFields) -> Vote:
    """A question and no kind word: "Who wrote this?" is Negative."""
    text = _text(task)
    return "Negative" if "?" in text and not _count(_PRAISE, text) and not _LUKEWARM.search(text) else None
