"""The words of a recovery phrase, and the keys that follow from them: a device that exists on paper alone.

24 words of the list of `bide.crypto.pairing_code` are 264 bits: a secret of 16 random bytes, the id of the space that the
search begins with, and 8 bits against a slip of the pen. The secret makes the keys of up to `KEYS_MAX` devices, one for each
space, so that a relay can't tell by keys that two spaces have a person in common. Layouts and test vectors: docs/encryption.md.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass, field
from functools import cache

import nacl.bindings as sodium
from nacl.exceptions import CryptoError

from bide.crypto.keys import DeviceKeys, GrantBroken
from bide.crypto.pairing_code import WORD_BITS, words, words_from_bytes
from bide.errors import InputError
from bide.ids import SPACE_ID_BYTES, Randomness, SpaceId

WORDS_PER_PHRASE = 24
SECRET_BYTES = 16
KEYS_MAX = 32
"""Spaces that one phrase can cover: that of its first key, and 31 more."""
TEXT_CHARS_MAX = 2_000
"""Longest text that is looked at, numbers and line breaks included."""
PREFIX_CHARS = 4
"""No two words of the list begin with the same four letters."""

_SIGNING, _SEALING, _CHECKSUM = b"bide.rec.sign", b"bide.rec.seal", b"bide.rec.sum"
_BETWEEN = re.compile(r"[\s\-\u2010-\u2015\u2212_.,;:)\]0-9]+")
"""What may stand between words: spaces, hyphens, and the numbers that they are shown with."""


@dataclass(frozen=True, slots=True)
class RecoveryPhrase:
    """What 24 words say."""

    secret: bytes = field(repr=False)
    anchor: SpaceId
    """The space that the first key belongs to; what else there is, is said there."""

    @classmethod
    def new(cls, anchor: SpaceId, randomness: Randomness) -> RecoveryPhrase:
        """A fresh one."""
        return cls(randomness.token(SECRET_BYTES), anchor)

    @classmethod
    def parse(cls, text: str) -> RecoveryPhrase:
        """The phrase that a person typed: any case, words cut to four letters, and anything but letters in between.

        Raises:
            InputError: it is none. The message names a place and never a word.
        """
        if len(text) > TEXT_CHARS_MAX:
            raise InputError("That is too long for a recovery phrase.", hint=_SHAPE)
        # NFKC turns full-width letters and digits, as some keyboards give, into plain ones.
        typed = [part for part in _BETWEEN.split(unicodedata.normalize("NFKC", text).lower()) if part]
        if len(typed) <= WORDS_PER_PHRASE:
            for place, word in enumerate(typed, 1):
                if word not in _numbers():
                    raise InputError("Word number {place} is not one of Bide's words.", hint=_LOOK_AGAIN, place=place)
        if len(typed) != WORDS_PER_PHRASE:
            raise InputError(
                "A recovery phrase has {most} words; these are {n}.", hint=_SHAPE, most=WORDS_PER_PHRASE, n=len(typed)
            )
        number = 0
        for word in typed:
            number = number << WORD_BITS | _numbers()[word]
        data = number.to_bytes(WORDS_PER_PHRASE * WORD_BITS // 8, "big")
        phrase = cls(data[:SECRET_BYTES], SpaceId(data[SECRET_BYTES : SECRET_BYTES + SPACE_ID_BYTES]))
        if phrase._bytes() != data:
            raise InputError("These words don't belong together.", hint="Is one of them misread, or two in the wrong order?")
        return phrase

    def words(self) -> tuple[str, ...]:
        """The 24 words."""
        return words_from_bytes(self._bytes(), count=WORDS_PER_PHRASE)

    def keys(self, index: int) -> DeviceKeys:
        """The keys of one space.

        Args:
            index: 0, for the anchor, to 31.
        """
        if not 0 <= index < KEYS_MAX:
            raise ValueError("a phrase has no such key")
        made = [
            hashlib.blake2b(bytes([index]), key=self.secret, salt=self.anchor, digest_size=32, person=person).digest()
            for person in (_SIGNING, _SEALING)
        ]
        return DeviceKeys(*made)

    def open(self, box: bytes) -> bytes:
        """What was sealed to the first key by `seal_to_phrase`.

        Raises:
            GrantBroken: it was sealed to another, or altered.
        """
        keys = self.keys(0)
        try:
            return sodium.crypto_box_seal_open(box, keys.sealing_key, keys.sealing_secret)
        except (CryptoError, ValueError, TypeError) as error:
            raise GrantBroken from error

    def _bytes(self) -> bytes:
        checked = self.secret + self.anchor
        return checked + hashlib.blake2b(checked, digest_size=1, person=_CHECKSUM).digest()


def seal_to_phrase(plain: bytes, *, sealing_key: bytes) -> bytes:
    """Seal something that only the words of a phrase open, by the public key of its first device."""
    return sodium.crypto_box_seal(plain, sealing_key)


_SHAPE = "They are all on the paper, in order: bide recovery takes them with or without their numbers."
_LOOK_AGAIN = "Look at the paper again, letter by letter. The first four letters of a word are enough."


@cache
def _numbers() -> dict[str, int]:
    """Each word, and what begins it and no other, to its place in the list."""
    found = {word[:PREFIX_CHARS]: number for number, word in enumerate(words())}
    return found | {word: number for number, word in enumerate(words())}
