"""Mojibake: Korean text that was decoded with the wrong charset, repaired where nothing was lost.

| seen              | cause                       | here                                        |
| ì•ˆë…•, ìëíì¸ì | UTF-8 read as Latin-1/1252  | re-encoded and decoded; ftfy for the rest     |
| ¾È³çÇÏ¼¼¿ä        | CP949 read as Latin-1/1252  | re-encoded and decoded, BEFORE ftfy breaks it |
| 븞뀞븯꽭          | UTF-8 read as CP949         | only when every byte survived                 |
| 占쏙옙, U+FFFD    | bytes are gone              | line of it removed; the rules judge the rest  |
"""

from __future__ import annotations

import re

from kodata.text.syllables import COMMON, rare_share

# Every character a high byte becomes under Latin-1 or windows-1252.
_CP1252 = "€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ"
_HIGH = f"\x80-\xff{_CP1252}"
_SUSPECT = re.compile(f"[\x80-\xff][{_HIGH}]{{2}}|[ìíëêãâ][{_HIGH}]|Ã[\x80-\xff]|Â[\xa0-\xff]")
_RUN = re.compile(f"[{_HIGH}]{{4,}}")
_HANGUL = re.compile("[가-힣]")
_FTFY = re.compile("[ìíëêâÃÂ][\x80-\xbf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]")
_LOST = re.compile("[占쏙옙�]")
_TO_BYTE = {
    ord(c): 0x80 + i
    for i, c in zip(
        (0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 30, 31),
        _CP1252,
        strict=True,
    )
}


def suspicious(text: str) -> bool:
    """True when the text shows a sign of mojibake and `repair` should look at it (cheap: one search)."""
    if _SUSPECT.search(text) is not None or "占쏙" in text:
        return True
    return rare_share(text[:4000]) > 0.02


def _as_bytes(text: str) -> bytes | None:
    try:
        return text.translate(_TO_BYTE).encode("latin-1")
    except UnicodeEncodeError:
        return None


def _korean(text: str, before: str) -> bool:
    """Is this decoding real Korean? Hangul rules the non-ASCII part, and the syllables are everyday ones."""
    other = [c for c in text if c > "\x7f" and not c.isspace()]
    hangul = [c for c in other if "가" <= c <= "힣"]
    if len(hangul) < 2 or len(hangul) < 0.7 * len(other) or len(hangul) >= len(before):
        return False
    return sum(c in COMMON for c in hangul) >= 0.5 * len(hangul)


def _decode_wrong(text: str) -> str | None:
    """The text behind a Latin-1/1252 misreading of UTF-8 or CP949, or None."""
    data = _as_bytes(text)
    if data is None:
        return None
    for encoding in ("utf-8", "cp949"):
        try:
            found = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if _korean(found, text):
            return found
    return None


def _repair_line(line: str) -> str:
    if _SUSPECT.search(line):
        if (found := _decode_wrong(line)) is not None:
            return found
        line = _RUN.sub(lambda m: _decode_wrong(m.group()) or m.group(), line)
        if _FTFY.search(line) and not _HANGUL.search(line):
            import ftfy

            line = ftfy.fix_encoding(line)
    elif rare_share(line) > 0.05:
        try:
            found = line.encode("cp949").decode("utf-8")
        except UnicodeError:
            return line
        if _korean(found, line + " "):
            return found
    return line


def repair(text: str) -> str:
    """Text with recoverable mojibake repaired, line by line, and lines that are nothing but lost bytes removed."""
    if (found := _decode_wrong(text)) is not None:
        return found
    lines = []
    for line in text.split("\n"):
        lost = len(_LOST.findall(line)) if "占쏙" in line else 0
        if lost >= 6 and lost > 0.3 * len(line):
            continue
        lines.append(_repair_line(line))
    return "\n".join(lines)
