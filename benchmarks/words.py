"""What two people might write: sentences of plausible length in several scripts, the same for the same seed."""

from __future__ import annotations

from pathlib import Path
from random import Random

RARE_WORD = "lighthouse"
"""In about one text of 1,500."""
COMMON_WORD = "kitchen"

_VOCABULARY = Path(__file__).parent / "vocabulary"
_LANGUAGES = [
    (_VOCABULARY / f"{name}.txt").read_text(encoding="utf-8").split() for name in ("english", "german", "arabic", "thai")
]
_LANGUAGE_WEIGHTS = (78, 8, 8, 6)
_EMOJI = ["😊", "🌧️", "☕", "❤️", "👨‍👩‍👧", "🥲", "🚲", "🌙", "🍲", "🙏🏽", "✨", "🎶"]
FEELINGS = [
    *("glad", "tired", "calm", "worried", "hopeful", "sad", "lonely", "touched", "tense"),
    *("able/proud of us", "worn/تعب", "glad/ดีใจ", "worn/müde"),
]
"""Words of the vocabulary, and words of one's own beneath a core."""
TOPICS = [
    "the dishes",
    "money for the trip",
    "being late",
    "your mother's visit",
    "phones at dinner",
    "who plans what",
    "งานบ้าน",
]

_LENGTH_MEDIAN_CHARS = 200
_LENGTH_SPREAD = 0.75
_LENGTH_CHARS_MAX = 4_000


def entry_chars(random: Random) -> int:
    """How long an entry is in all: half are shorter than 200 characters, a few are very long."""
    length = _LENGTH_MEDIAN_CHARS * random.lognormvariate(0, _LENGTH_SPREAD)
    return min(_LENGTH_CHARS_MAX, max(12, int(length)))


def text(random: Random, chars: int) -> str:
    """About `chars` characters by one person, in one language, now and then with an emoji."""
    vocabulary = random.choices(_LANGUAGES, _LANGUAGE_WEIGHTS)[0]
    words: list[str] = []
    size = 0
    while size < chars:
        # Squaring prefers the beginning of the list, as real words prefer a few.
        word = vocabulary[int(random.random() ** 2 * len(vocabulary))]
        words.append(word)
        size += len(word) + 1
        if random.random() < 0.08:
            words[-1] += "."
    if random.random() < 0.12:
        words.append(random.choice(_EMOJI))
    if random.random() < 1 / 1_500:
        words.append(RARE_WORD)
    return " ".join(words)


def checkin(random: Random) -> dict[str, object]:
    """The fields of a check-in."""
    names = random.sample(("went_well", "hard", "worry", "lift", "grateful", "proud"), random.choice((1, 1, 2, 3)))
    fields: dict[str, object] = _shared(random, names)
    if random.random() < 0.7:
        fields["feelings"] = random.sample(FEELINGS, random.randint(1, 3))
    if random.random() < 0.15:
        fields["later"] = [text(random, 20)[:190] for _ in range(random.randint(1, 3))]
    return fields


def appreciation(random: Random) -> dict[str, object]:
    """The fields of an appreciation."""
    names = ["noticed", *random.sample(("felt", "shows"), random.choice((0, 1, 2)))]
    return _shared(random, names)


def hearing(random: Random) -> dict[str, object]:
    """The fields of a reply by hearing."""
    return _shared(random, ["mirrored", *random.sample(("validated", "empathised"), random.choice((0, 1)))])


def _shared(random: Random, names: list[str]) -> dict[str, object]:
    chars = entry_chars(random)
    return {name: text(random, max(12, chars // len(names))) for name in names}
