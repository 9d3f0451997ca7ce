"""``--mine``: of everything only one's own words, to give to somebody, such as a therapist, who is nothing to the other person.

What the other wrote is left out, and so is what shows it: their replies, their part in a repair conversation, what they
changed, that they put something off. The agreement of a repair stays out too: it belongs to both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bide.ids import entry_slot, parse_entry_id
from bide_cli.exporting.originals import SOURCE

Mine = Callable[[Mapping[str, Any]], bool]
"""Whether somebody, as entries name them, is the one who exports."""

_REPAIR_LISTS = ("topics", "tells", "hearings", "answers", "gestures", "settled")
_ANSWER_FIELDS = ("answer", "clarification")
"""In a hearing these are words of the one who was heard."""


def is_me(by: Mapping[str, Any]) -> bool:
    """Of an entry of this journal."""
    return bool(by["me"])


def me_called(name: str) -> Mine:
    """Of an imported one: whoever exported it called themselves ``me``, and that may have been the other person."""
    wanted = name.strip().casefold()

    def mine(by: Mapping[str, Any]) -> bool:
        return bool(by["me"]) and str(by["name"]).strip().casefold() == wanted

    return mine


def own_words(
    entry: Mapping[str, Any], mine: Mine = is_me, *, name: str = "", below_mine: bool = False
) -> list[dict[str, Any]]:
    """An entry without the other's words: it, or what is mine beneath an entry that is not, or nothing.

    Args:
        entry: as shown, with its replies.
        mine: tells who is meant.
        name: what I am called.
        below_mine: it is a reply to an entry of mine, so what is said about it in turn is mine.
    """
    begun = mine(entry["by"])
    replies = [own for reply in entry["replies"] for own in own_words(reply, mine, name=name, below_mine=begun)]
    if "words" in entry:
        entry = {**entry, "words": [said for said in entry["words"] if mine(said["by"])]}
    if entry["kind"] == "erased":
        # The placeholder of what was erased: whoever's that was, it holds whatever words are left.
        return [{**entry, "replies": replies}] if entry.get("words") else replies
    if entry["kind"] == "repair":
        own = _repair(entry, mine)
        return [own | {"replies": replies}] if own is not None else replies
    if not begun:
        return [*(_clarification(entry, mine, name) if below_mine else ()), *replies]
    by_name = entry["fields"].get("by_name", "")
    if entry["kind"] == "keepsake" and ((by_name and by_name.casefold() != name.casefold()) or _from_bide(entry)):
        return replies
    theirs = _ANSWER_FIELDS if entry["kind"] == "hearing" else ()
    return [_without(entry, mine, theirs) | {"replies": replies}]


def _from_bide(entry: Mapping[str, Any]) -> bool:
    """Whether a keepsake's text may hold what others said: it was made of a whole entry, replies and all."""
    return bool(entry["fields"].get("source") == SOURCE)


def _without(entry: Mapping[str, Any], mine: Mine, theirs: tuple[str, ...]) -> dict[str, Any]:
    """An own entry without the fields named, and without what others did to it."""
    return {
        **entry,
        "fields": {name: value for name, value in entry["fields"].items() if name not in theirs},
        "history": [
            {**item, "fields": {name: value for name, value in item["fields"].items() if name not in theirs}}
            for item in entry["history"]
            if mine(item["by"])
        ],
        "alternatives": {name: texts for name, texts in entry["alternatives"].items() if name not in theirs},
        "later": False,
        "delivery": "",
    }


def _clarification(entry: Mapping[str, Any], mine: Mine, name: str) -> list[dict[str, Any]]:
    """What I meant, said of the other's hearing of me: of that hearing nothing else is mine."""
    said = {key: entry["fields"][key] for key in _ANSWER_FIELDS if entry["kind"] == "hearing" and key in entry["fields"]}
    if not said.get("clarification"):
        return []
    history = [
        {**item, "fields": {key: value for key, value in item["fields"].items() if key in _ANSWER_FIELDS}}
        for item in entry["history"]
        if mine(item["by"])
    ]
    me = {"name": name, "me": True}
    return [{**_without(entry, mine, ()), "by": me, "fields": said, "history": history, "alternatives": {}, "edited": False}]


def _repair(entry: Mapping[str, Any], mine: Mine) -> dict[str, Any] | None:
    fields = entry["fields"]
    own = {name: [item for item in fields.get(name, ()) if mine(item["by"])] for name in _REPAIR_LISTS}
    if not any(own.values()):
        return None
    begun = mine(entry["by"])
    topic = own["topics"][0].get("topic", "") if own["topics"] else ""
    allowed = _own_key(entry, begun=begun)
    pruned = {
        **_without(entry, mine, ()),
        "by": entry["by"] if begun else next(items[0]["by"] for items in own.values() if items),
        "fields": {"topic": topic, "calm": bool(fields.get("calm", False)) and begun, **own, "agreement": ""},
        "history": [
            {**item, "fields": kept}
            for item in entry["history"]
            if mine(item["by"]) and (kept := {name: value for name, value in item["fields"].items() if allowed(name)})
        ],
        "alternatives": {name: texts for name, texts in entry["alternatives"].items() if allowed(name)},
    }
    return {name: value for name, value in pruned.items() if name not in ("next", "ignored")}


def _own_key(entry: Mapping[str, Any], *, begun: bool) -> Callable[[str], bool]:
    """Which keys of a conversation's document are mine: those of my place in it, and the topic if I began it."""
    entry_id = parse_entry_id(entry["id"])
    slot = entry_slot(entry_id) if entry_id is not None else 0
    mark = str(slot if begun else 1 - slot)
    return lambda name: (begun and name == "topic") or mark in name.split(".")[1:]
