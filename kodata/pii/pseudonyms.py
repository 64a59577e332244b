"""Stand-ins for personal data: of the same form, the same for the same value, and never a number that exists.

A stand-in is drawn by keyed BLAKE2b from kind and value, so every worker of a run gives the same one without a table. Each
lies where no real number can: a telephone exchange that begins with 0, a birth month 00, a business number of tax office
000, a card from 0 that fails Luhn, a licence of region 00, an account from 0000, a passport letter X, a plate letter not in
use, a house number from 0, example.com (RFC 2606), the documentation networks (RFC 5737). The detectors know these and leave
them alone, so a second pass changes nothing. The seed is the key: who knows it can test guesses, so keep it like one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import blake2b

from kodata.pii.checks import luhn
from kodata.pii.contacts import phone_parts
from kodata.pii.numbers import digits_of

_NETWORKS = ("192.0.2", "198.51.100", "203.0.113")
_DIGIT = re.compile("[0-9]")
_AT_SIGN = re.compile(r"\s*(?:\(at\)|\[at\]|골뱅이|앳| at |@)\s*")
_LETTERS = "bcdfghjkmnpqrstvwxz"
_VOWELS = "aeiou"


def _bytes(key: bytes, kind: str, value: str) -> bytes:
    return blake2b(f"{kind}\0{value}".encode("utf-8", "replace"), digest_size=64, key=key).digest()


def _digits(drawn: bytes, count: int) -> str:
    """That many decimal digits of 64 drawn bytes."""
    return str(int.from_bytes(drawn[:48], "big"))[-count:].zfill(count)


def _poured(form: str, digits: str) -> str:
    """The form with its digits replaced, in order; everything else stays."""
    source: Iterator[str] = iter(digits)
    return _DIGIT.sub(lambda _: next(source), form)


def stand_in(kind: str, value: str, seed: int) -> str:
    """What stands for `value` in a run with this seed."""
    key = f"kodata.pii {seed}".encode()
    if kind == "email":
        canonical = _AT_SIGN.sub("@", value.lower())
        drawn = _bytes(key, kind, canonical)
        size = min(max(canonical.index("@"), 6), 12)
        name = "".join((_LETTERS, _VOWELS)[i % 2][b % (19, 5)[i % 2]] for i, b in enumerate(drawn[:size]))
        return f"{name}@example.com"
    if kind == "ip":
        drawn = _bytes(key, kind, value)
        return f"{_NETWORKS[drawn[0] % 3]}.{1 + drawn[1] % 254}"
    if kind in ("phone", "institution_phone", "public_phone"):
        return _phone(value, key)
    if kind == "plate":
        canonical = "".join(value.split())
        drawn = _bytes(key, kind, canonical)
        number = _poured(value, "0" + _digits(drawn, len(digits_of(value)) - 1))
        return re.sub("(?<=[0-9])[가-힣]", "카타파"[drawn[-1] % 3], number)
    if kind == "passport":
        return "X" + _poured(value[1:], _digits(_bytes(key, kind, value), len(digits_of(value))))
    if kind == "driver":
        return _driver(value, key)
    digits = digits_of(value)
    drawn = _bytes(key, kind, digits)
    made = _digits(drawn, len(digits))
    if kind in ("rrn", "foreigner", "corporate"):
        made = f"0{made[1]}00{made[4:]}" if "*" not in value else f"0{made[1]}00{made[4:6]}{digits[6]}"
    elif kind == "business":
        made = "000" + made[3:]
    elif kind == "account":
        made = "0000" + made[4:]
    elif kind == "card":
        made = "0" + made[1:]
        if luhn(made):
            made = made[:-1] + str((int(made[-1]) + 1) % 10)
    elif kind == "address":
        made = "0" + made[1:]
    return _poured(value, made)


def _phone(value: str, key: bytes) -> str:
    area, subscriber = phone_parts(value)
    made = _digits(_bytes(key, "phone", area + subscriber), len(subscriber))
    if area[0] == "1":  # a representative number: 1500 is nobody's
        return _poured(value, "1500" + made)
    count = len(digits_of(value)) - len(subscriber)
    return _poured(value, digits_of(value)[:count] + "0" + made[1:])


def _driver(value: str, key: bytes) -> str:
    serial = digits_of(value)[-10:]
    made = _digits(_bytes(key, "driver", digits_of(value)), len(serial))
    return f"00-{made[:2]}-{made[2:8]}-{made[8:]}"
