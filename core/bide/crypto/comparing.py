"""Words by which two people find out face to face whether they hold the same history.

::

    fingerprint = BLAKE2b-256(space_id ‖ for each log, by log id: log_id 16, seq u64be, entry_hash 32, person "bide.verify")
    stretched   = Argon2id(fingerprint, salt = BLAKE2b-128(space_id, person "bide.verify"), 64 MiB, 3 passes), 32 bytes
    words       = the first 66 of 72 bits of BLAKE2b-72(slot as one byte, key = stretched, person "bide.verify")

The last entry of a log commits to all beneath it, changes of membership included. Each of the two people has words of their
own, so that who is asked for the other's can't copy them from the own screen. Six words are 66 bits: a device that wrote two
histories for two people could look for two with the same words, so every try is made to cost memory and time.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from typing import NamedTuple

import nacl.bindings as sodium

from bide.crypto.pairing_code import words, words_from_bytes
from bide.errors import InputError, StorageError

WORDS = 6
TEXT_CHARS_MAX = 400
COUNT_MAX = 2**62
MEMORY_BYTES = 64 * 1024 * 1024
ITERATIONS = 3
_PERSON = b"bide.verify"
_SHORTEST_BEGINNING = 4
"""No two words begin with the same four letters."""
_HINT = "Six words, as they stand on the other screen, e.g. maple river harbor otter cedar plum"


class Said(NamedTuple):
    """What somebody typed from the other screen."""

    words: tuple[str, ...]
    counts: tuple[int, ...] = ()
    """The two numbers beside them; none if they were left out."""


def comparison_words(space: bytes, places: Iterable[tuple[bytes, int, bytes]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The words of slot 0 and of slot 1.

    Args:
        space: 16 bytes.
        places: log id, number and hash of the last entry that counts, of every log.

    Raises:
        StorageError: the memory for it is not free.
    """
    vector = b"".join(log + seq.to_bytes(8, "big") + digest for log, seq, digest in sorted(places))
    fingerprint = _hash(space + vector, size=32)
    salt = _hash(space, size=16)
    try:
        stretched = sodium.crypto_pwhash_alg(
            32, fingerprint, salt, ITERATIONS, MEMORY_BYTES, sodium.crypto_pwhash_ALG_ARGON2ID13
        )
    except (RuntimeError, MemoryError):
        raise StorageError(
            "Comparing takes 64 MiB of memory, and that much is not free.", hint="Close another program."
        ) from None
    first, second = (words_from_bytes(_hash(bytes([slot]), size=9, key=stretched), count=WORDS) for slot in (0, 1))
    return first, second


def parse_said(text: str) -> Said:
    """What a person typed: any case and marks between; of each word the first four letters are enough.

    Raises:
        InputError: it isn't six words, with two numbers or none after them.
    """
    if len(text) > TEXT_CHARS_MAX:
        raise InputError("That is too long for six words.", hint=_HINT)
    parts = re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", text).casefold())
    counts = tuple(int(part) for part in parts if part.isascii() and part.isdecimal() and len(part) < 20)
    spoken = [part for part in parts if not part.isdecimal()]
    if len(spoken) != WORDS or len(counts) not in (0, 2) or len(spoken) + len(counts) != len(parts):
        raise InputError("That is not six words.", hint=_HINT)
    return Said(tuple(_word(part) for part in spoken), counts)


def parse_count(text: str) -> int:
    """A number that a person typed.

    Raises:
        InputError: it is none.
    """
    digits = re.sub(r"[\s.,'_\u2019]", "", unicodedata.normalize("NFKC", text))
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 20 and int(digits) <= COUNT_MAX):
        raise InputError("That is not a number.", hint="Just the digits, e.g. 14")
    return int(digits)


def _word(part: str) -> str:
    if part in words():
        return part
    meant = [word for word in words() if len(part) >= _SHORTEST_BEGINNING and word[:4] == part[:4]]
    if len(meant) == 1 and _is_near(part, meant[0]):
        return meant[0]
    from difflib import get_close_matches

    near = get_close_matches(part[:32], words(), n=3, cutoff=0.6)
    if near:
        raise InputError("One of these is not one of Bide's words.", hint="Did you mean: {near}", near=", ".join(near))
    raise InputError("One of these is not one of Bide's words.", hint="Look at the other screen again, letter by letter.")


def _is_near(part: str, word: str) -> bool:
    """A beginning of it, or a slip of one letter after the fourth."""
    from difflib import SequenceMatcher

    return word.startswith(part) or SequenceMatcher(None, part[:32], word).ratio() >= 0.8


def _hash(data: bytes, *, size: int, key: bytes = b"") -> bytes:
    return hashlib.blake2b(data, key=key, digest_size=size, person=_PERSON).digest()
