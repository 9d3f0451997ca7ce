"""The code that one person reads out and the other types: ``7-maple-river-harbor@relay.example.org``.

The nameplate says which mailbox of the relay to meet in and is no secret. The three words are: 33 bits that are used
once, with one guess for anyone who knows the nameplate. The part after the ``@`` says which relay, for who has none set.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from dataclasses import dataclass, field
from functools import cache

from bide.errors import InputError
from bide.ids import Randomness

WORDS_PER_CODE = 3
NAMEPLATE_MAX = 999_999
CODE_CHARS_MAX = 400
"""Longest text that is looked at, spaces included."""
AUTHORITY_CHARS_MAX = 255
WORD_BITS = 11
"""2,048 words."""

_SUGGESTIONS_MAX = 3
_WORD_CHARS_MAX = 32
"""Longer than any word of the list with any slip of the keyboard; bounds the search for near words."""
_WRONG_WORD = (
    "The first word of that code is not one of Bide's words.",
    "The second word of that code is not one of Bide's words.",
    "The third word of that code is not one of Bide's words.",
)
"""By place: a number put into a sentence can't be declined in every language."""
_SEPARATORS = re.compile(r"[\s\-\u2010-\u2015\u2212_.,;]+")
_LABEL = r"[a-z0-9_](?:[a-z0-9_\-]{0,61}[a-z0-9_])?"
_AUTHORITY = re.compile(rf"(?P<host>{_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:.]{{2,45}}\])(?::(?P<port>[0-9]{{1,5}}))?")
_SHAPE_HINT = "A code is a number and three words, e.g. 7-maple-river-harbor"


REPLACED = {
    "abandon": "lantern",
    "abuse": "otter",
    "accuse": "cedar",
    "afraid": "plum",
    "alone": "acorn",
    "anger": "amber",
    "angry": "clover",
    "argue": "robin",
    "arrest": "wren",
    "assault": "plover",
    "attack": "fennel",
    "awful": "thyme",
    "betray": "saffron",
    "bitter": "quince",
    "blame": "hazel",
    "bleak": "birch",
    "blood": "linden",
    "bomb": "lilac",
    "bullet": "poppy",
    "burden": "daisy",
    "casino": "tulip",
    "chaos": "pebble",
    "crash": "lagoon",
    "crazy": "fjord",
    "crime": "drizzle",
    "cruel": "icicle",
    "cry": "mitten",
    "damage": "scarf",
    "danger": "teapot",
    "deny": "kettle",
    "despair": "quilt",
    "destroy": "thimble",
    "disagree": "loom",
    "disease": "gable",
    "dismiss": "cellar",
    "divorce": "veranda",
    "dumb": "trellis",
    "enemy": "barley",
    "evil": "oat",
    "execute": "loaf",
    "exile": "waffle",
    "expose": "toffee",
    "fatal": "nougat",
    "fat": "sorbet",
    "fault": "kayak",
    "fury": "sextant",
    "ghost": "lyre",
    "gun": "oboe",
    "guilt": "piccolo",
    "harsh": "waltz",
    "hurt": "sonnet",
    "ill": "beaver",
    "injury": "finch",
    "insane": "gecko",
    "jealous": "koala",
    "kick": "lemur",
    "knife": "llama",
    "lawsuit": "marmot",
    "lonely": "puffin",
    "mad": "walrus",
    "misery": "yak",
    "monster": "bramble",
    "nasty": "dahlia",
    "neglect": "easel",
    "nuclear": "ferry",
    "obey": "gondola",
    "panic": "iris",
    "penalty": "jasmine",
    "pistol": "nectar",
    "poverty": "oregano",
    "prison": "papaya",
    "punch": "quokka",
    "reject": "sequoia",
    "rifle": "umber",
    "rude": "yodel",
    "sad": "zinnia",
    "scare": "lullaby",
    "shock": "hymn",
    "shoot": "acacia",
    "sick": "begonia",
    "suffer": "freesia",
    "suspect": "hyacinth",
    "sword": "lavender",
    "tragic": "peony",
    "trap": "wisteria",
    "trash": "fern",
    "ugly": "ivy",
    "unfair": "moss",
    "vicious": "pinecone",
    "virus": "teak",
    "warfare": "yew",
    "weapon": "egret",
    "whip": "falcon",
    "wreck": "jay",
    "wrong": "kestrel",
}
"""Words of BIP 39 that don't belong into a conversation between two people who want to be closer, and what stands there."""


@cache
def words() -> tuple[str, ...]:
    """The 2,048 words, in their fixed order: the English list of BIP 39, with what nobody should have to read out replaced.

    No two begin with the same four letters.
    """
    # Only here, so that showing a timeline never pays for the list.
    from mnemonic import Mnemonic

    return tuple(REPLACED.get(word, word) for word in Mnemonic("english").wordlist)


@cache
def _known() -> frozenset[str]:
    return frozenset(words())


def words_from_bytes(data: bytes, *, count: int) -> tuple[str, ...]:
    """The first `count` words that `data` spells, 11 bits each, from the most significant bit."""
    number = int.from_bytes(data, "big") >> (8 * len(data) - WORD_BITS * count)
    return tuple(words()[(number >> (WORD_BITS * i)) & 2047] for i in range(count - 1, -1, -1))


@dataclass(frozen=True, slots=True)
class PairingCode:
    """A nameplate, three words, and the relay to meet on."""

    nameplate: int
    """From 1 to `NAMEPLATE_MAX`; the relay gives it out."""
    words: tuple[str, ...] = field(repr=False)
    """Three words of the list. A secret until the pairing is over, so never in a `repr`."""
    authority: str = ""
    """``host``, ``host:port`` or ``[v6]:port`` of the relay; empty when the code names none."""

    @classmethod
    def new(cls, nameplate: int, randomness: Randomness, *, authority: str = "") -> PairingCode:
        """A code with fresh words.

        Args:
            nameplate: what the relay answered.
            randomness: 5 bytes are taken.
            authority: the relay that gave the nameplate.
        """
        return cls(nameplate, words_from_bytes(randomness.token(5), count=WORDS_PER_CODE), authority)

    @classmethod
    def parse(cls, text: str) -> PairingCode:
        """The code that a person typed: any case, spaces, hyphens or both between the parts, the relay optional.

        Raises:
            InputError: it is none. The message never repeats what was typed; only the hint may name near words.
        """
        if len(text) > CODE_CHARS_MAX:
            raise InputError("That is too long for a pairing code.", hint=_SHAPE_HINT)
        # NFKC turns full-width letters and digits, as some keyboards give, into plain ones.
        secret, at, authority = unicodedata.normalize("NFKC", text).lower().partition("@")
        parts = [part for part in _SEPARATORS.split(secret) if part]
        if len(parts) != 1 + WORDS_PER_CODE:
            raise InputError("That doesn't look like a pairing code.", hint=_SHAPE_HINT)
        nameplate = _parse_nameplate(parts[0])
        for position, word in enumerate(parts[1:]):
            _check_word(word, position)
        return cls(nameplate, tuple(parts[1:]), _parse_authority(authority) if at else "")

    def format(self) -> str:
        """As it is shown and read out."""
        code = "-".join([str(self.nameplate), *self.words])
        return f"{code}@{self.authority}" if self.authority else code

    @property
    def password(self) -> bytes:
        """The secret part, as the key exchange takes it."""
        return " ".join(self.words).encode()


def _parse_nameplate(part: str) -> int:
    # isdecimal alone would let the digits of other scripts through.
    if not (part.isascii() and part.isdecimal() and len(part) <= 12 and 1 <= int(part) <= NAMEPLATE_MAX):
        raise InputError("A pairing code begins with a number.", hint=_SHAPE_HINT)
    return int(part)


def _check_word(word: str, position: int) -> None:
    if word in _known():
        return
    near = difflib.get_close_matches(word[:_WORD_CHARS_MAX], words(), n=_SUGGESTIONS_MAX, cutoff=0.6)
    if near:
        raise InputError(_WRONG_WORD[position], hint="Did you mean: {near}", near=", ".join(near))
    raise InputError(_WRONG_WORD[position], hint="Look at the other screen again, letter by letter.")


def _parse_authority(text: str) -> str:
    authority = text.strip()
    match = _AUTHORITY.fullmatch(authority) if len(authority) <= AUTHORITY_CHARS_MAX else None
    if match is None or not (match["port"] is None or 1 <= int(match["port"]) <= 65535):
        raise InputError("The relay after the @ is not an address.", hint="It looks like relay.example.org or 127.0.0.1:8765")
    return authority
