"""Questions to draw from: the sets that fit the two people, and which card comes next.

What was asked before is read from the timeline itself, so a question that was skipped leaves no trace anywhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from bide.errors import InputError, NotFound
from bide_cli.prompting.choosing import find_deck
from bide_cli.terminal.shell import Shell

if TYPE_CHECKING:
    from bide.replica import Replica
    from bide.words import Deck, Item

SETS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "partner": (("questions-1", ""), ("questions-2", ""), ("questions-3", "")),
    "friend": (("friends", "light"), ("friends", "deeper")),
    "family": (("family", "light"), ("family", "deeper")),
}
"""By what two people are to each other: decks, and parts of them, as they rise in depth."""
QUESTIONS_KIND = "questions"
DEPTHS = (1, 2, 3)


class Card(NamedTuple):
    """One question of a deck."""

    deck: str
    item: str
    text: str
    note: str
    title: str
    """Of the set it is from."""

    @property
    def key(self) -> tuple[str, str]:
        """What an entry notes of it."""
        return self.deck, self.item


def sets_for(shell: Shell, relation: str, *, deck: str = "", depth: int = 0) -> list[list[Card]]:
    """The sets of cards to draw from, in rising depth.

    Args:
        shell: of the home, where decks of one's own are.
        relation: what the two are to each other.
        deck: only this deck.
        depth: only this depth, from 1 to 3.

    Raises:
        NotFound: there is no such deck.
        InputError: it holds no questions, or there is nothing of that depth in it.
    """
    if not deck:
        sets = SETS.get(relation, SETS["partner"])
        # Where there are two sets for three depths, what is deepest is there for the third, too.
        chosen = sets[min(depth, len(sets)) - 1 :][:1] if depth else sets
        return [_cards(find_deck(shell, name), part) for name, part in chosen]
    found = find_deck(shell, deck)
    if found.kind != QUESTIONS_KIND:
        raise InputError(
            "The deck {name} holds no questions.", hint="bide decks shows which do; their kind is questions.", name=found.name
        )
    parts = next((sets for sets in SETS.values() if sets[0][0] == found.name and sets[0][1]), ())
    if depth and not parts and found.depth != depth:
        raise InputError("--depth chooses among the sets, and --deck has named one already.")
    pairs = parts or ((found.name, ""),)
    if depth:
        pairs = pairs[min(depth, len(pairs)) - 1 :][:1]
    return [_cards(found, part) for _, part in pairs]


def _cards(found: Deck, part: str) -> list[Card]:
    items: Sequence[Item] = found.in_part(part) if part else found.items
    return [Card(found.name, item.id, item.text, item.note, found.title) for item in items]


def find_card(shell: Shell, deck: str, item: str) -> Card:
    """A card by its deck and its id, or its number in the deck.

    Raises:
        NotFound: there is none.
    """
    cards = [card for cards in sets_for(shell, "", deck=deck) for card in cards]
    listed = list(find_deck(shell, deck))
    if item.isascii() and item.isdecimal() and 1 <= int(item[:6]) <= len(listed):
        item = listed[int(item[:6]) - 1].id
    for card in cards:
        if card.item == item.strip():
            return card
    raise NotFound("There is no such question in that deck.", hint="bide decks show {name}", name=deck[:60])


def asked_before(replica: Replica, with_: str) -> Counter[tuple[str, str]]:
    """How often each card was asked between the two."""
    fields: list[dict[str, Any]] = [entry["fields"] for entry in replica.timeline(kinds=("question",), with_=with_)]
    return Counter((str(said["deck"]), str(said["item"])) for said in fields if said.get("deck") and said.get("item"))


def in_turn(
    sets: Sequence[Sequence[Card]], asked: Mapping[tuple[str, str], int], shuffle: Callable[[list[Card]], None]
) -> list[Card]:
    """The cards in the order of being offered: each set mixed, the easier set first, and nothing twice until all are through.

    Args:
        sets: as `sets_for` gives them.
        asked: as `asked_before` gives it.
        shuffle: mixes a list, in place.
    """
    order: list[tuple[int, int, Card]] = []
    for depth, cards in enumerate(sets):
        mixed = list(cards)
        shuffle(mixed)
        order += [(asked.get(card.key, 0), depth, card) for card in mixed]
    return [card for _, _, card in sorted(order, key=lambda entry: entry[:2])]
