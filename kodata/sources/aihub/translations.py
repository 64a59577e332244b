"""AI Hub's parallel corpora: the Korean side is a document, both sides are a translation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from kodata.sources.aihub.item import TaskItem, Text
from kodata.sources.aihub.layout import Layout, Reading
from kodata.sources.aihub.paths import first
from kodata.sources.aihub.written import meta_of

_HANGUL = re.compile("[가-힣]")
_KANA = re.compile("[ぁ-ヿ]")
_HAN = re.compile("[一-鿿]")
_ASCII_WORDS = re.compile(r"[\x00-\x7f\u2010-\u203d]*[A-Za-z][\x00-\x7f\u2010-\u203d]*")
_NAMES = {"category": "domain|분야|대분류|domain_main", "subcategory": "subdomain|분류|중분류", "publisher": "언론사|출처|source",
          "date": "날짜|date"}  # fmt: skip
_IDS = ("SID", "관리번호", "sn", "ID", "id")


def language_of(text: str) -> str:
    """ko, ja, zh or en by the script, "" where the script leaves it open."""
    for pattern, name in ((_HANGUL, "ko"), (_KANA, "ja"), (_HAN, "zh")):
        if pattern.search(text):
            return name
    return "en" if _ASCII_WORDS.fullmatch(text) else ""


def translated(
    source: str,
    target: str,
    *,
    draft: str = "",
    codes: tuple[str, str] = ("", ""),
    names: tuple[str, str] = ("", ""),
) -> Reading:
    """A sentence and its translation: the side with more Hangul is the document. draft: the machine's, before people
    corrected it; codes: where the languages stand; names: what they are where the columns say it."""

    def read(item: Any, root: Any) -> Iterator[Text | TaskItem]:
        one, two, key = first(item, source), first(item, target), first(item, *_IDS)
        meta = meta_of(item, _NAMES)
        if text := max((one, two), key=lambda t: len(_HANGUL.findall(t)) / max(len(t), 1)):
            yield Text(text, key or None, meta)
        if one and two:
            rough = first(item, *draft.split("|")) if draft else ""
            said = [
                name or (first(item, *code.split("|")) if code else "")
                for name, code in zip(names, codes, strict=True)
            ]
            fields = {
                "source": one, "target": two, "source_language": said[0] or language_of(one),
                "target_language": said[1] or language_of(two), "draft": rough if rough != two else "",
            }  # fmt: skip
            yield TaskItem("translation", key, fields, meta)

    return read


def korean_and(foreign: str, language: str) -> Reading:
    """Columns named by their language; `source_language` says which of them is the original, the draft is the other's."""

    def read(item: Any, root: Any) -> Iterator[Text | TaskItem]:
        backwards = first(item, "source_language").lower() in (
            foreign,
            language,
            "english",
            "영어",
            "중국어",
            "일본어",
            "chinese",
            "japanese",
        )
        columns, names = (("ko", foreign), ("ko", language))
        if backwards:
            columns, names = (foreign, "ko"), (language, "ko")
        yield from translated(*columns, draft="mt", names=names)(item, root)

    return read


def _layout(name: str, needs: tuple[str, ...], read: Reading, title: str) -> Layout:
    return Layout(
        name=f"aihub.{name}", title=title, kind="dialogue", items=("data[]",), needs=needs, read=read
    )


_PARALLEL, _EDITED = "한국어-외국어 번역 말뭉치", "다국어 번역 병렬 말뭉치"
LAYOUTS = (
    _layout("post_edited", ("원문", "최종번역문"), translated("원문", "최종번역문", draft="MT", codes=("S_Code|S-Code", "T_Code|T-Code")), _EDITED),
    _layout("post_edited", ("SOURCE_SENTENCE", "TARGET_SENTENCE", "MT_SENTENCE"),
            translated("SOURCE_SENTENCE", "TARGET_SENTENCE", draft="MT_SENTENCE"), _EDITED),
    _layout("parallel", ("원문", "번역문"), translated("원문", "번역문", draft="MT"), _PARALLEL),
    _layout("parallel", ("sourceText", "targetText"), translated("sourceText", "targetText", codes=("sourceLanguage", "targetLanguage")), _PARALLEL),
    *(_layout("parallel", ("한국어", name), translated("한국어", name, names=("ko", code)), _PARALLEL)
      for name, code in (("영어", "en"), ("중국어", "zh"), ("일본어", "ja"))),
    *(_layout("korean_english", ("ko:str", f"{foreign}:str", extra), korean_and(foreign, code), "한국어-외국어 번역 병렬 말뭉치")
      for foreign, code in (("en", "en"), ("jp", "ja"), ("cn", "zh")) for extra in ("source_language", "mt")),
)  # fmt: skip
