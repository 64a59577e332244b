"""Marks that transcribers and anonymisers left in utterances.

Anonymised places become the typed tags of the house: &name1& and #@이름# both [이름]. Sounds ({laughing}, n/) and
pictures (#@이모티콘#) are no words and go; what was said stays: (70%)/(칠십 퍼센트) is its spelling, 70%.
"""

from __future__ import annotations

import re

_NAMES = {
    "name": "[이름]", "이름": "[이름]", "address": "[주소]", "주소": "[주소]", "tel-num": "[전화번호]", "tel": "[전화번호]",
    "전번": "[전화번호]", "전화번호": "[전화번호]", "card-num": "[카드번호]", "account-num": "[계좌번호]", "계좌번호": "[계좌번호]",
    "금융": "[금융정보]", "social-security-num": "[주민등록번호]", "주민번호": "[주민등록번호]", "num": "[번호]", "번호": "[번호]",
    "affiliation": "[소속]", "소속": "[소속]", "online-account": "[계정]", "계정": "[계정]", "company-name": "[회사]",
    "brand": "[상표]", "brands": "[상표]", "상호명": "[상호]", "others": "[익명]", "other": "[익명]", "기타": "[익명]",
    "신원": "[신원]", "website": "[주소]", "url": "[웹주소]", "email": "[이메일]", "이메일": "[이메일]", "birthday": "[생일]",
    "car-num": "[차량번호]", "차량번호": "[차량번호]", "party": "[정당]", "race": "[인종]", "location": "[주소]", "장소": "[주소]",
}  # fmt: skip
_AMPERSAND = re.compile(r"&([a-z][a-z-]{1,24})\d{0,3}&", re.I)
_HASH = re.compile(r"#@(시스템#[^#\s]{1,20}#?|[^#\s]{1,20}#)")
_BARE = re.compile(
    r"(?<![A-Za-z0-9&])(name|company-name|address|tel-num|card-num|account-num|social-security-num|affiliation|"
    r"online-account|brand|others)\d{1,3}(?![A-Za-z0-9&])"
)
_BRACES = re.compile(r"\{[A-Za-z][A-Za-z _-]{0,20}\}")
_TWICE = re.compile(r"\(([^()]{1,200})\)/\(([^()]{0,200})\)")
_UNHEARD = re.compile(r"\(\((?:[xX]{1,20}|\s{0,5})\)\)")
_GUESSED = re.compile(r"\(\(([^()]{1,200})\)\)")
_NOISE = re.compile(r"(?:(?<=\s)|^)[bnlous]/(?=\s|$|[가-힣(])")
_DISFLUENT = re.compile(r"(?<=[가-힣A-Za-z0-9])[/+*](?=[\s.,?!]|$)")
_GAPS = re.compile(r"[ \t]{2,}")


def _tag(match: re.Match[str]) -> str:
    return _NAMES.get(match.group(1).lower(), "[익명]")


def _hash_tag(match: re.Match[str]) -> str:
    name = match.group(1).rstrip("#").lower()
    if name.startswith("시스템#") or name in ("이모티콘", "사진", "동영상", "파일"):
        return ""
    return _NAMES.get(name, "[익명]")


def unmasked(text: str) -> str:
    """Anonymisation marks as typed tags; pictures and system notes go."""
    if "&" in text:
        text = _AMPERSAND.sub(_tag, text)
    if "#@" in text:
        text = _HASH.sub(_hash_tag, text)
    return _GAPS.sub(" ", text).strip()


def spoken(text: str) -> str:
    """A transcribed utterance as it would be written: `unmasked`, and without the marks of the transcript."""
    if "/" in text:
        text = _TWICE.sub(r"\1", text)
        text = _NOISE.sub("", text)
    if "((" in text:
        text = _GUESSED.sub(r"\1", _UNHEARD.sub("", text))
    if "{" in text:
        text = _BRACES.sub("", text)
    text = _DISFLUENT.sub("", text)
    return unmasked(_BARE.sub(_tag, text))
