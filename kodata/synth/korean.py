"""Korean that fits the word before it: particles by the last sound, numbers as they are read and counted."""

import re

_DIGITS = "영일이삼사오육칠팔구"
_TENS = {1: "십", 2: "백", 3: "천", 4: "만", 8: "억", 12: "조"}
_ONES = ["", "한", "두", "세", "네", "다섯", "여섯", "일곱", "여덟", "아홉"]
_NATIVE_TENS = ["", "열", "스물", "서른", "마흔", "쉰", "예순", "일흔", "여든", "아흔"]
# How units and signs are said; only the last syllable matters.
_UNITS = {
    "km": "킬로미터", "cm": "센티미터", "mm": "밀리미터", "m": "미터", "kg": "킬로그램", "g": "그램",
    "mL": "밀리리터", "L": "리터", "%": "퍼센트", "㎡": "제곱미터", "㎠": "제곱센티미터",
}  # fmt: skip
_LAST_NUMBER = re.compile(r"[\d,]*\d(?:\.\d+)?(?:/\d+)?$")


def last_sound(word: str) -> str:
    """The final consonant of the last syllable as it is read: "" none, "ㄹ", or "ㄱ" for any other.

    Digits are read as numbers (10 is 십, 3/4 is 사분의 삼), units by their Korean name.
    """
    word = word.rstrip(" )\"'’”」』")
    for unit, said in _UNITS.items():
        if word.endswith(unit) and re.search(r"\d$", word[: -len(unit)].rstrip()):
            return last_sound(said)
    number = _LAST_NUMBER.search(word)
    if number:
        return last_sound(_last_syllable(number[0]))
    code = ord(word[-1]) - 0xAC00 if word else -1
    if not 0 <= code < 11172:
        return ""
    final = code % 28
    return "" if final == 0 else "ㄹ" if final == 8 else "ㄱ"


def _last_syllable(number: str) -> str:
    """The last syllable of a number as it is read."""
    number = number.replace(",", "").split("/")[0]  # a fraction ends with its numerator
    if "." in number or number == "0":
        return _DIGITS[int(number[-1])]
    zeros = len(number) - len(number.rstrip("0"))
    if not zeros:
        return _DIGITS[int(number[-1])]
    return _TENS[max(p for p in _TENS if p <= zeros)]


_PAIRS = {
    "은": ("은", "는"), "이": ("이", "가"), "을": ("을", "를"), "과": ("과", "와"), "으로": ("으로", "로"),
    "이라": ("이라", "라"), "이었": ("이었", "였"), "이에요": ("이에요", "예요"), "아": ("아", "야"),
}  # fmt: skip
_FORMS = {form: pair for pair in _PAIRS.values() for form in pair}


def josa(word: str, particle: str) -> str:
    """The word with its particle: josa("사과", "을") is "사과를", josa("3개", "은") is "3개는".

    Either form of a pair may be given. Raises KeyError for a particle that does not change.
    """
    closed, opened = _FORMS[particle]
    sound = last_sound(word)
    if closed == "으로":
        return word + ("으로" if sound == "ㄱ" else "로")
    return word + (closed if sound else opened)


def person(name: str) -> str:
    """A given name as friends say it: 민준이, 지우."""
    return name + "이" if last_sound(name) else name


def native(number: int) -> str:
    """1 to 99 before a counter: 한, 열두, 스무, 서른다섯."""
    if not 1 <= number <= 99:
        raise ValueError(f"native numbers are 1 to 99: {number}")
    if number == 20:
        return "스무"
    return _NATIVE_TENS[number // 10] + _ONES[number % 10]


def comma(number: int) -> str:
    """12500 as 12,500."""
    return f"{number:,}"
