"""Times and days as a person reads them. Done by hand: importing datetime or a locale would cost more than it saves here."""

from __future__ import annotations

import os
import time

from bide.errors import InputError
from bide_cli.language import N_, _
from bide_cli.terminal.shell import clean_line
from bide_cli.terminal.zone import is_zone_name

WEEKDAYS = (
    N_("Monday"),
    N_("Tuesday"),
    N_("Wednesday"),
    N_("Thursday"),
    N_("Friday"),
    N_("Saturday"),
    N_("Sunday"),
)
MONTHS = (
    N_("January"),
    N_("February"),
    N_("March"),
    N_("April"),
    N_("May"),
    N_("June"),
    N_("July"),
    N_("August"),
    N_("September"),
    N_("October"),
    N_("November"),
    N_("December"),
)
_ZONES = "/usr/share/zoneinfo"
_DAY_SECONDS = 86_400
_DAY_MINUTES = 1440
_NEAR = {"today": 0, "yesterday": 1}
"""Days that an option can name, as so many before this one."""
_THURSDAY = 3
"""1970 began on one."""


def days_since_1970(year: int, month: int, day: int) -> int:
    """The number of days from 1 January 1970, by the Gregorian calendar."""
    # Years are counted from March, so that the leap day comes last.
    year -= month <= 2
    era, year_of_era = divmod(year, 400)
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return era * 146_097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719_468


def today(day_starts_min: int) -> int:
    """Today as a number of days since 1970, on this machine's clock.

    Args:
        day_starts_min: minutes after midnight at which a day begins.
    """
    now = time.localtime(time.time())
    minutes = now.tm_hour * 60 + now.tm_min - day_starts_min
    return days_since_1970(now.tm_year, now.tm_mon, now.tm_mday) + minutes // _DAY_MINUTES


def iso_day(days: int) -> str:
    """A number of days since 1970 as ``2026-11-22``."""
    return time.strftime("%Y-%m-%d", time.gmtime(days * _DAY_SECONDS))


def heading(day: str, *, today: int | None = None) -> str:
    """A day such as ``2026-11-22`` as ``Sunday, 22 November 2026``; with ``Today`` or ``Yesterday`` before it if it is that."""
    parts = _parts(day)
    if parts is None:
        return clean_line(day)
    year, month, number = parts
    days = days_since_1970(year, month, number)
    weekday = _(WEEKDAYS[(days + _THURSDAY) % 7])
    date = _("{weekday}, {day} {month} {year}").format(weekday=weekday, day=number, month=_(MONTHS[month - 1]), year=year)
    if today is None or not 0 <= today - days <= 1:
        return date
    return _("{when} · {date}").format(when=_("Today") if today == days else _("Yesterday"), date=date)


def date_words(day: str) -> str:
    """A day such as ``2026-11-22`` for the middle of a line: ``22 November 2026``."""
    parts = _parts(day)
    if parts is None:
        return clean_line(day)
    year, month, number = parts
    return _("{day} {month} {year}").format(day=number, month=_(MONTHS[month - 1]), year=year)


def _parts(day: str) -> tuple[int, int, int] | None:
    """Year, month and day; None for what is no day: it may be another device's word for it."""
    try:
        year, month, number = (int(part) for part in day.split("-"))
    except ValueError:
        return None
    return (year, month, number) if 1 <= month <= len(MONTHS) else None


def epoch_seconds(at: str) -> int:
    """Seconds since 1970 of a time such as ``2026-11-22T20:14:48.123Z``."""
    days = days_since_1970(int(at[0:4]), int(at[5:7]), int(at[8:10]))
    return days * _DAY_SECONDS + int(at[11:13]) * 3600 + int(at[14:16]) * 60 + int(at[17:19])


def clock(at: str, tz: str, here: str) -> str:
    """The time of day of `at`, where it was written; with the zone if that is another than the one `here`."""
    seconds = epoch_seconds(at)
    if tz == here or not tz:
        return _here(seconds)
    there = _there(seconds, tz)
    return f"{there} ({clean_line(tz.rpartition('/')[2].replace('_', ' '))})" if there else _here(seconds)


def _there(seconds: int, tz: str) -> str:
    """The time of day in a zone; empty for one that this machine doesn't know: a device may write anything there."""
    if is_zone_name(tz) and os.path.isfile(f"{_ZONES}/{tz}"):  # noqa: PTH113 no need of a Path here
        # By the C library, which has the zones already: importing zoneinfo would take a tenth of the whole command.
        before = os.environ.get("TZ")
        os.environ["TZ"] = tz
        try:
            time.tzset()
            return _here(seconds)
        finally:
            if before is None:
                del os.environ["TZ"]
            else:
                os.environ["TZ"] = before
            time.tzset()
    from datetime import datetime
    from zoneinfo import ZoneInfo

    try:
        return f"{datetime.fromtimestamp(seconds, ZoneInfo(tz)):%H:%M}"
    except Exception:  # no zone at all, or a time that it does not have
        return ""


def _here(seconds: int) -> str:
    try:
        return time.strftime("%H:%M", time.localtime(seconds))
    except (OSError, ValueError, OverflowError):  # further away than this machine counts
        return time.strftime("%H:%M", time.gmtime(seconds % _DAY_SECONDS))


def local_minute(at: str) -> str:
    """`at` on this machine's clock, with the day: ``2026-11-22 21:14``."""
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(epoch_seconds(at)))
    except (OSError, ValueError, OverflowError):  # another device's word for it
        return clean_line(at[:16].replace("T", " "))


def check_day(text: str, option: str) -> None:
    """See to it that an option gives a day, or nothing.

    Raises:
        InputError: it gives something else.
    """
    if not text or text in _NEAR:
        return
    try:
        if len(text) != len("2026-11-22") or not text.isascii():
            raise ValueError
        time.strptime(text, "%Y-%m-%d")
    except ValueError:
        raise InputError("{option} takes a day.", hint="For example: 2026-11-22, today, yesterday", option=option) from None


def day_of(text: str, day_starts_min: int) -> str:
    """A day that was checked, as entries have it. What is written after midnight still belongs to the day before."""
    return iso_day(today(day_starts_min) - _NEAR[text]) if text in _NEAR else text
