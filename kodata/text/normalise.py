"""Normalisation of Korean text: what changes without changing what is said. Idempotent.

NFC, never NFKC: NFKC turns ㄱ (U+3131) into a conjoining jamo, ㈜ into (주), ① into 1, ½ into 1⁄2. Instead a table of
chosen widths; invisible characters and fillers out; emoticon runs shortened without touching their host syllable, digits
or Latin letters; newlines and spaces by rule; fenced code as it is. Old Hangul, hanja, ㆍ and typographic quotes stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from unicodedata import is_normalized, normalize

from kodata.text import markup, repair

KEEP_RUN = 3
"""Emoticon characters kept of a longer run: ㅋㅋㅋㅋㅋㅋ -> ㅋㅋㅋ."""


def _width_table() -> dict[int, str | None]:
    table: dict[int, str | None] = {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}
    table[0xFFE6] = "₩"
    # Half-width jamo become the compatibility jamo people type (ftfy and NFKC give conjoining U+1100).
    for start, end, target in (
        (0xFFA1, 0xFFBE, 0x3131),
        (0xFFC2, 0xFFC7, 0x314F),
        (0xFFCA, 0xFFCF, 0x3155),
        (0xFFD2, 0xFFD7, 0x315B),
        (0xFFDA, 0xFFDC, 0x3161),
    ):
        table.update({code: chr(target + code - start) for code in range(start, end + 1)})
    for code in (0x00A0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000):
        table[code] = " "
    # Hangul fillers are letters to \w and isalpha(), but people see a blank.
    table[0x3164] = table[0xFFA0] = " "
    for code in (0x0B, 0x0C, 0x85, 0x2028, 0x2029):
        table[code] = "\n"
    invisible = (
        *range(0x09),
        *range(0x0E, 0x20),
        0x7F,
        *range(0x80, 0x85),
        *range(0x86, 0xA0),
        0x00AD,
        0x180E,
        0x200B,
        0x200C,
        0x200E,
        0x200F,
        *range(0x202A, 0x202F),
        *range(0x2060, 0x2070),
        0xFEFF,
        *range(0xFFF9, 0xFFFD),
        0xFFFE,
        0xFFFF,
    )
    table.update(dict.fromkeys(invisible))
    table.update(dict.fromkeys(range(0xD800, 0xE000), "�"))  # lone surrogates cannot be written as UTF-8
    # Symbol-font bullets that HWP and Word leave in U+F000-F0FF; the rest of that block means nothing to a reader.
    table.update(dict.fromkeys(range(0xF000, 0xF100)))
    table.update(
        {
            0xF0B7: "•",
            0xF06C: "●",
            0xF09F: "•",
            0xF0A7: "▪",
            0xF06E: "■",
            0xF075: "◆",
            0xF0D8: "▶",
            0xF0E0: "→",
            0xF0E8: "→",
            0xF0FC: "✓",
            0xF0FE: "☑",
            0xF0A8: "□",
        }
    )
    return table


_TABLE = _width_table()
_IN_TABLE = re.compile("[" + "".join(re.escape(chr(code)) for code in sorted(_TABLE)) + "]")
_EMOJI = "\u00a9\u00ae\u203c-\u2049\u2122-\u2bff\u3030\u303d\u3297\u3299\ufe0f\U0001f000-\U0001faff"
_JOINER = re.compile(f"(?<![{_EMOJI}])\u200d|\u200d(?![{_EMOJI}])")
_OLD_FILLER = re.compile("\u115f(?![\u1161-\u11a7\ud7b0-\ud7c6])|(?<![\u1100-\u115e\ua960-\ua97c])\u1160")
_SAME_RUN = re.compile(rf"([ㄱ-ㅎㅏ-ㅣ!?~.하호히흐크허헤캬])\1{{{KEEP_RUN},}}")
_EMOJI_RUN = re.compile(
    "([\u2661\u2665\u2763\u2764\U0001f300-\U0001faff]\ufe0f?[\U0001f3fb-\U0001f3ff]?)\\1{3,}"
)
_MIXED_RUN = re.compile("[ㅋㅎㅠㅜㅡㅇㄷ]{7,}")
_WIDE_GAP = re.compile(r"(?<=[가-힣])[ \t]{2,}(?=\S)|(?<=\S)[ \t]{2,}(?=[가-힣])")
_DEEP_INDENT = re.compile(r"^[ \t]{20,}", re.M)
_BLANK_LINES = re.compile(r"\n{3,}")
_FENCE = re.compile(r"[ \t]*(`{3,}(?=[^`]*$)|~{3,}(?=[ \t]*[\w+#.-]*[ \t]*$))")
_NOT_IN_CODE = {
    **dict.fromkeys((*range(0x09), *range(0x0E, 0x20), 0x7F)),
    **dict.fromkeys(range(0xD800, 0xE000), "�"),
}
_MAX_ROUNDS = 5


def _characters(text: str) -> str:
    """Table, NFC, joiners and fillers."""
    if _IN_TABLE.search(text):
        text = text.translate(_TABLE)
    if "\u200d" in text:
        text = _JOINER.sub("", text)
    if "\u115f" in text or "\u1160" in text:
        text = _OLD_FILLER.sub("", text)
    if not is_normalized("NFC", text):
        text = normalize("NFC", text)
    return text


def _layout(text: str) -> str:
    """Emoticon runs, spaces and newlines."""
    text = _SAME_RUN.sub(lambda m: m.group(1) * KEEP_RUN, text)
    text = _EMOJI_RUN.sub(lambda m: m.group(1) * KEEP_RUN, text)
    text = _MIXED_RUN.sub(lambda m: m.group()[:6], text)
    text = "\n".join([line.rstrip() for line in text.split("\n")])
    if "  " in text or "\t" in text:
        text = _WIDE_GAP.sub(" ", text)
        text = _DEEP_INDENT.sub("", text)
    return _BLANK_LINES.sub("\n\n", text)


def _prose(text: str) -> str:
    return _layout(_characters(text))


def _cleaned(text: str) -> str:
    if repair.suspicious(text):
        text = repair.repair(text)
    text = _characters(text)
    if markup.suspicious(text):
        text = markup.strip_markup(text)
    return _prose(text)


def _code(text: str) -> str:
    """A fence as it is, but for what no document may hold: control characters, lone surrogates, text that is not NFC."""
    text = normalize("NFC", text.translate(_NOT_IN_CODE))
    return "\n".join([line.rstrip() if _FENCE.match(line) else line for line in text.split("\n")])


def _pieces(text: str) -> Iterator[tuple[bool, str]]:
    """(is a closed fence?, piece) in order; joined they are the text. The newline after a fence belongs to the prose."""
    lines = text.split("\n")
    never = {
        "`": len(text) + 1,
        "~": len(text) + 1,
    }  # fences of this length and more are known not to be closed
    start = line = 0
    while line < len(lines):
        opening = _FENCE.match(lines[line])
        if opening and len(mark := opening[1]) < never[mark[0]]:
            end = line + 1
            while end < len(lines) and not _closes(lines[end], mark):
                end += 1
            if end == len(lines):
                never[mark[0]] = len(mark)
            else:
                yield False, "\n".join([*([""] if start else []), *lines[start:line], ""])
                yield True, "\n".join(lines[line : end + 1])
                start, line = end + 1, end
        line += 1
    yield False, "\n".join([*([""] if start else []), *lines[start:]])


def _closes(line: str, mark: str) -> bool:
    bare = line.strip(" \t")
    return len(bare) >= len(mark) and bare[0] == mark[0] and not bare.strip(mark[0])


def _outside_code(text: str, change: Callable[[str], str]) -> str:
    """The text with its prose changed and its fenced code left alone, without newlines and trailing space at its ends."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "```" in text or "~~~" in text:
        text = "".join([_code(piece) if fenced else change(piece) for fenced, piece in _pieces(text)])
    else:
        text = change(text)
    return text.rstrip().lstrip("\n")


def _plain(text: str) -> str:
    """Character and layout rules. Twice where a fence is in sight: characters can turn into the mark of one."""
    current = _outside_code(text, _prose)
    for _ in range(_MAX_ROUNDS if "```" in current or "~~~" in current else 0):
        following = _outside_code(current, _prose)
        if following == current:
            break
        current = following
    return current


def normalise(text: str) -> str:
    """Return the normal form of a text: NFC, `\\n` newlines, no newline and no trailing space at its ends (an indent of
    the first line stays), code between fences untouched. normalise(normalise(x)) == normalise(x).

    Repairs and markup can uncover each other, so texts that show a sign of either are worked on until nothing changes;
    one that never settles (made for it) gets the character and layout rules only.
    """
    if not (repair.suspicious(text) or markup.suspicious(text)):
        done = _plain(text)
        if not (repair.suspicious(done) or markup.suspicious(done)):
            return done
    current = text
    for _ in range(_MAX_ROUNDS):
        following = _outside_code(current, _cleaned)
        if following == current:
            return current
        current = following
    return _plain(text)
