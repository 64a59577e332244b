"""From bytes to text: which charset a Korean file is written in.

Order of evidence: BOM, a declaration (HTML meta, HTTP), strict UTF-8, UTF-16 without a BOM, CP949 (a superset of
EUC-KR and KS C 5601). A file cut in the middle of a character still counts as its charset.
"""

from __future__ import annotations

import codecs
import re
from typing import NamedTuple

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16 LE, whose BOM it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_KOREAN_ALIASES = {
    "euc-kr",
    "euckr",
    "ks_c_5601-1987",
    "ks_c_5601",
    "ksc5601",
    "ksc_5601",
    "x-windows-949",
    "ms949",
    "korean",
}
_META = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([A-Za-z0-9_\-]{2,30})""", re.I)
_PLAUSIBLE = re.compile("[\n\r\t -~가-힣ㄱ-ㅣ\u3000-\u303f\u4e00-\u9fff]")
_XML = re.compile(rb"""^\s*<\?xml[^>]{0,100}?encoding\s*=\s*["']([A-Za-z0-9_\-]{2,30})["']""")


class Decoded(NamedTuple):
    """Text of a file, the charset used, and how many characters could not be decoded (U+FFFD in the text)."""

    text: str
    encoding: str
    bad: int


def declared_charset(data: bytes) -> str | None:
    """Charset an HTML or XML head declares, as a Python codec name; None when there is none or it is unknown."""
    head = data[:4096]
    found = _META.search(head) or _XML.search(head)
    if not found:
        return None
    return charset_name(found.group(1).decode("ascii"))


def charset_name(name: str) -> str | None:
    """Python's codec for a charset name as web pages write it; None when there is none."""
    if name.lower() in _KOREAN_ALIASES:
        return "cp949"
    try:
        found = codecs.lookup(name.lower())
    except (LookupError, ValueError):
        return None
    return found.name if found._is_text_encoding else None  # not hex, zip, rot13


def _fits(data: bytes, encoding: str) -> bool:
    """True when data is valid in the charset, a character cut at the very end being allowed."""
    try:
        codecs.getincrementaldecoder(encoding)("strict").decode(data, final=False)
    except UnicodeDecodeError:
        return False
    return True


def _utf16_without_bom(data: bytes) -> str | None:
    """UTF-16 shows itself by spaces, digits and newlines whose other byte is zero, all on the same side."""
    if len(data) < 4:
        return None
    data = data[: len(data) // 2 * 2]
    even, odd = data[0::2].count(0), data[1::2].count(0)
    if max(even, odd) < 0.05 * len(data) / 2:
        return None
    # 가 is U+AC00, so both sides may hold zeros: the reading with more Korean and ASCII in it is right.
    name = max(("utf-16-le", "utf-16-be"), key=lambda n: len(_PLAUSIBLE.findall(data.decode(n, "ignore"))))
    fits = _fits(data, name) and len(_PLAUSIBLE.findall(data.decode(name, "ignore"))) > 0.8 * len(data) / 2
    return name if fits else None


def sniff(sample: bytes, declared: str | None = None) -> str:
    """Charset of the file `sample` begins (64 KiB is plenty). Always answers: when nothing fits, the Korean
    charset with the fewer undecodable characters."""
    for bom, name in _BOMS:
        if sample.startswith(bom):
            return name
    if b"\0" in sample and (wide := _utf16_without_bom(sample)):
        return wide
    # UTF-8 hardly ever fits by accident, while a declaration may be a lie of a re-saved page.
    if _fits(sample, "utf-8"):
        return "utf-8"
    for guess in dict.fromkeys((declared, "cp949")):
        if guess and guess != "utf-8" and _fits(sample, guess):
            return guess
    bad_utf8 = sample.decode("utf-8", "replace").count("�")
    bad_cp949 = sample.decode("cp949", "replace").count("�")
    return "utf-8" if bad_utf8 <= bad_cp949 else "cp949"


def decode(data: bytes, declared: str | None = None) -> Decoded:
    """Decode a whole file. Never raises: bytes that fit nothing become U+FFFD and are counted, except an
    incomplete last character (the file was cut), which is left out."""
    encoding = sniff(data, declared)
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    text = decoder.decode(data, final=False)
    return Decoded(text, encoding, text.count("�"))
