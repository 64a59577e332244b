"""All detectors over one text: which may run, who wins where two overlap."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Iterator

from kodata.pii import contacts, numbers
from kodata.pii.found import STAND_IN, Found
from kodata.pii.shapes import (
    ACCOUNT,
    ADDRESS,
    AT,
    BUSINESS,
    CARD,
    DRIVER,
    IP,
    PASSPORT,
    PHONE,
    PLATE,
    RESIDENT,
    shapes,
)

# Earlier kinds win where two overlap.
_DETECTORS: tuple[tuple[int, Callable[[str], Iterator[Found]]], ...] = (
    (AT, contacts.emails), (RESIDENT, numbers.resident_numbers), (BUSINESS, numbers.business_numbers), (CARD, numbers.cards),
    (DRIVER, numbers.drivers), (PHONE, contacts.phones), (ACCOUNT, numbers.accounts), (IP, contacts.ips),
    (PASSPORT, numbers.passports), (PLATE, numbers.plates), (ADDRESS, contacts.addresses),
)  # fmt: skip


def find(text: str, bits: int | None = None) -> list[Found]:
    """All personal data in a normalised text, in order, not overlapping. `bits`: `shapes(text)`, when it is known."""
    if bits is None:
        bits = shapes(text)
    if not bits:
        return []
    taken: list[Found] = []
    for bit, detect in _DETECTORS:
        if not bits & bit:
            continue
        for item in detect(text):
            place = bisect(taken, item)
            if (not place or taken[place - 1].end <= item.start) and (
                place == len(taken) or taken[place].start >= item.end
            ):
                taken.insert(place, item)
    return [item for item in taken if item.kind != STAND_IN]
