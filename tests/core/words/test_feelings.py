"""The vocabulary of feelings: nine, four, three; the same slugs everywhere; found however it is typed."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bide.entries.fields import FEELING_CHARS_MAX, clean_text
from bide.errors import InputError
from bide.words import Feeling, below, cores, feeling, find, find_slug, languages, shown_feeling, suggest, vocabulary
from bide.words.feelings import _fold, _load, _read
from bide.words.showing import CORES


@pytest.mark.parametrize("language", languages())
def test_nine_cores_four_kinds_three_words(language: str) -> None:
    assert len(vocabulary(language)) == 153
    assert Counter(each.level for each in vocabulary(language)) == {1: 9, 2: 36, 3: 108}
    for core in cores(language):
        assert (core.level, core.core, core.parent) == (1, core.slug, "")
        assert len(below(core.slug, language)) == 4
        for kind in below(core.slug, language):
            assert (kind.level, kind.core) == (2, core.slug)
            assert len(below(kind.slug, language)) == 3
            for word in below(kind.slug, language):
                assert (word.level, word.core) == (3, core.slug)
                assert below(word.slug, language) == ()


@pytest.mark.parametrize("language", languages())
def test_every_language_has_all_of_them_in_the_same_order(language: str) -> None:
    """Read without the fallback to English."""
    theirs = [(each.slug, each.core, each.level, each.parent) for each in _read(language)]
    assert theirs == [(each.slug, each.core, each.level, each.parent) for each in _read("en")]


def test_slugs_are_ascii_unique_and_short_enough_to_store() -> None:
    slugs = [each.slug for each in vocabulary()]
    assert len(set(slugs)) == len(slugs)
    for slug in slugs:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", slug)
        assert len(slug) <= FEELING_CHARS_MAX


@pytest.mark.parametrize("language", languages())
def test_every_gloss_is_one_short_line_of_its_own(language: str) -> None:
    glosses = [each.gloss for each in vocabulary(language)]
    assert len(set(glosses)) == len(glosses)
    for each in vocabulary(language):
        assert clean_text(each.gloss, what="gloss", chars_max=100, one_line=True) == each.gloss
        assert each.gloss.endswith((".", "!"))
        assert clean_text(each.word, what="word", chars_max=FEELING_CHARS_MAX, one_line=True) == each.word
        # Commas and slashes mean something in a list of feelings.
        assert not set(each.word) & set(",/")


def test_no_word_means_one_thing_here_and_another_there() -> None:
    """A word can be typed in any language, so it may belong to one feeling only."""
    owners: dict[str, str] = {}
    for language in languages():
        for each in vocabulary(language):
            assert owners.setdefault(_fold(each.word), each.slug) == each.slug
    slugs = {_fold(each.slug): each.slug for each in vocabulary()}
    for key, slug in owners.items():
        assert slugs.get(key, slug) == slug


def test_nothing_was_left_untranslated() -> None:
    english = {each.slug: each for each in vocabulary("en")}
    for language in languages()[1:]:
        for each in vocabulary(language):
            assert each.word.casefold() != english[each.slug].word.casefold()
            assert each.gloss != english[each.slug].gloss


@pytest.mark.parametrize("language", languages())
def test_each_is_found_by_slug_and_by_word(language: str) -> None:
    for each in vocabulary(language):
        assert feeling(each.slug, language) == each
        assert feeling(each.word, language) == each
        assert feeling(f"  {each.word.upper()} ", language) == each
        # Whatever the screen speaks, a word of another language is understood and answered in this one.
        for other in languages():
            assert feeling(each.word, other).slug == each.slug


@pytest.mark.parametrize(
    ("typed", "slug"),
    [
        ("müde", "tired"),
        ("muede", "tired"),
        ("mude", "tired"),
        ("mu\N{COMBINING DIAERESIS}de", "tired"),
        ("at home", "at-home"),
        ("At-Home", "at-home"),
        ("hin und hergerissen", "torn"),
        ("fed up", "fed-up"),
    ],
)
def test_accents_hyphens_and_case_do_not_matter(typed: str, slug: str) -> None:
    for language in languages():
        assert feeling(typed, language).slug == slug


def test_an_unknown_word_is_answered_with_what_was_perhaps_meant() -> None:
    with pytest.raises(InputError) as caught:
        feeling("tierd")
    assert "tired" in caught.value.hint
    with pytest.raises(InputError) as caught:
        feeling("erschopfft", "de")
    assert "erschöpft" in caught.value.hint
    with pytest.raises(InputError) as caught:
        feeling("qqqqqq", "de")
    assert "froh/qqqqqq" in caught.value.hint
    assert "Did you mean" not in caught.value.hint


@pytest.mark.parametrize(
    ("typed", "language", "slug"),
    [
        ("thank", "en", "thankful"),
        ("lonly", "en", "lonely"),
        ("dankb", "de", "thankful"),
        ("einsamm", "de", "lonely"),
        ("erschopf", "de", "worn"),
        ("gut genug", "de", "not-enough"),
        ("lonly", "de", "lonely"),
        ("einsamm", "en", "lonely"),
        ("sad/lonly", "en", "lonely"),
        ("happy", "en", "glad"),
        ("happy", "de", "glad"),
        ("grat", "en", "thankful"),
        ("stresed", "en", "overloaded"),
        ("Überfordert", "de", "overloaded"),
        ("ueberfordert", "en", "overloaded"),
        ("sauer", "de", "angry"),
    ],
)
def test_suggestions_work_in_every_language(typed: str, language: str, slug: str) -> None:
    found = suggest(typed, language)
    assert slug == found[0].slug
    assert found[0] in vocabulary(language)
    assert len(found) <= 3


@pytest.mark.parametrize("language", languages())
def test_words_that_stand_nowhere_are_answered_and_never_taken_for_another(language: str) -> None:
    """A suggestion may guess; what is stored may not."""
    also = _load(language)["also"]
    assert len(also) >= 30
    for word, slug in also.items():
        assert find(word) is None
        assert find_slug(slug) is not None
        assert suggest(word, language)[0].slug == slug


def test_typing_shows_more_with_each_letter() -> None:
    assert suggest("") == ()
    assert suggest("qqqqqq") == ()
    assert [each.slug for each in suggest("cur")] == ["curious"]
    assert len(suggest("re", limit=5)) == 5


@pytest.mark.parametrize("typed", ["glad/like a kite", "froh/like a kite", " Glad / like  a kite ", "FROH/like a kite"])
def test_a_word_of_ones_own_stands_beneath_a_core(typed: str) -> None:
    own = feeling(typed, "de")
    assert own == Feeling("glad/like a kite", "like a kite", "", "glad", 2, "glad")
    assert own.own
    assert not feeling("glad").own
    # What is stored is found again, in any language.
    assert find(own.slug, "en") == own


def test_a_known_word_beneath_its_own_core_is_that_word() -> None:
    assert feeling("worn/müde").slug == "tired"
    assert feeling("sad/müde").slug == "sad/müde"


@pytest.mark.parametrize(
    "typed",
    ["nothing/like a kite", "tired/like a kite", "/kite", "glad/", "glad/ ", "glad//x", "glad/a/b", "glad/a,b", "glad/!", "/"],
)
def test_a_word_of_ones_own_needs_a_core_and_a_word(typed: str) -> None:
    with pytest.raises(InputError):
        feeling(typed)
    assert find(typed) is None


@pytest.mark.parametrize("typed", ["glad/" + "x" * 40, "x" * 41, "glad/a\x1b[31m", "glad/a\nb", "a\x00"])
def test_what_does_not_fit_a_field_is_refused(typed: str) -> None:
    with pytest.raises(InputError):
        feeling(typed)


def test_the_stored_form_of_an_own_word_fits_too() -> None:
    """Typed with the core's short German word, stored with its longer slug."""
    assert len("nah/" + "x" * 36) == FEELING_CHARS_MAX
    with pytest.raises(InputError):
        feeling("nah/" + "x" * 36)


@given(st.text(max_size=60) | st.builds("{}/{}".format, st.sampled_from(["glad", "froh", "x"]), st.text(max_size=45)))
def test_any_text_is_a_feeling_or_a_clear_refusal(text: str) -> None:
    """And what is accepted can be stored, and means the same when it is read back."""
    suggest(text, "de")
    find(text, "de")
    try:
        found = feeling(text, "de")
    except InputError:
        return
    assert clean_text(found.slug, what="slug", chars_max=FEELING_CHARS_MAX, one_line=True) == found.slug
    assert "," not in found.slug
    assert feeling(found.slug, "de") == found


def test_what_is_stored_is_shown_as_a_word() -> None:
    for language in languages():
        for each in vocabulary(language):
            assert shown_feeling(each.slug, language) == each.word
            assert find_slug(each.slug, language) == each


@pytest.mark.parametrize(
    ("stored", "language", "shown"),
    [
        ("glad/like a kite", "en", "like a kite"),
        ("glad/wie ein Drachen", "de_DE.UTF-8", "wie ein Drachen"),
        ("Dad-tired", "en", "Dad-tired"),
        ("müde", "en", "müde"),
        ("kaputt", "de", "kaputt"),
        ("froh/", "de", "froh/"),
        ("n/a", "en", "n/a"),
        ("", "de", ""),
        ("", "en", ""),
        ("tired", "fr", "tired"),
        ("at-home", "C", "at home"),
    ],
)
def test_what_no_slug_stands_for_is_shown_as_it_was_written(stored: str, language: str, shown: str) -> None:
    assert shown_feeling(stored, language) == shown


def test_an_english_timeline_reads_no_vocabulary() -> None:
    """A line of a timeline must cost next to nothing."""
    code = "import sys; from bide.words import shown_feeling as s; print(s('at-home'), 'bide.words.feelings' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "at home False"
    assert tuple(each.slug for each in cores()) == CORES
