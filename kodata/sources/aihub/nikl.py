"""The National Institute's 모두의 말뭉치: {id, metadata, document[]}, written, spoken, and analysed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kodata.sources.aihub.grouping import grouped
from kodata.sources.aihub.item import TaskItem, Text
from kodata.sources.aihub.layout import Layout
from kodata.sources.aihub.marks import spoken, unmasked
from kodata.sources.aihub.paths import first, string, strings, walk
from kodata.sources.aihub.talk import by_key, dialogue, script, turns_at
from kodata.sources.aihub.written import meta_of, summary_item

_META = {"title": "metadata.title", "author": "metadata.author", "publisher": "metadata.publisher", "date": "metadata.date",
         "topic": "metadata.topic"}  # fmt: skip
_KINDS = (("신문", "news"), ("국회", "dialogue"), ("메신저", "messenger"), ("온라인", "dialogue"), ("게시", "web"), ("블로그", "web"),
          ("리뷰", "review"), ("웹", "web"), ("구어", "spoken"), ("대화", "dialogue"), ("준구어", "spoken"), ("대본", "spoken"),
          ("문어", "book"), ("책", "book"), ("잡지", "book"))  # fmt: skip


def _category(item: Any, root: Any) -> str:
    names = [item] if item is root else [item, root]
    return (
        " ".join(c for holder in names for c in strings(holder, "metadata.category"))
        if isinstance(root, Mapping)
        else ""
    )


def _kind(item: Any, root: Any, default: str) -> str:
    """Kind by the category the corpus names ("신문 > 인터넷 기반 신문")."""
    category = _category(item, root)
    return next((kind for word, kind in _KINDS if word in category), default)


def _meta(item: Any, root: Any, default: str) -> dict[str, Any]:
    meta = meta_of(item, _META)
    if category := _category(item, root):
        meta["category"] = category
    meta["kind"] = _kind(item, root, default)
    return meta


def _written(item: Any, root: Any) -> Iterator[Text | TaskItem]:
    """Paragraphs; the first of a newspaper article is its headline."""
    meta = _meta(item, root, "book")
    paragraphs = [unmasked(t) for t in strings(item, "paragraph[].form")]
    if meta["kind"] == "news" and len(paragraphs) > 1:
        meta["title"] = paragraphs.pop(0)
    if text := "\n".join(p for p in paragraphs if p):
        yield Text(text, first(item, "id") or None, meta)
    yield from _corrections(item, "paragraph[]")


def _spoken(item: Any, root: Any) -> Iterator[Text | TaskItem]:
    """Utterances; an empty form has its words in the note. Speech is joined, messages keep their lines."""
    meta = _meta(item, root, "dialogue")
    messages = meta["kind"] in ("messenger", "web", "review") or not strings(item, "utterance[].form")
    keys = (
        ("original_form", "form", "note")
        if meta["kind"] == "messenger"
        else ("form", "original_form", "note")
    )
    turns = turns_at(item, "utterance[]", by_key("speaker_id"), keys, spoken)
    if meta["kind"] == "messenger":
        meta["kind"] = "dialogue"
    yield from dialogue(turns, first(item, "id"), meta, topic=meta.get("topic", ""), joined=not messages)
    yield from _corrections(item, "utterance[]")


def _corrections(item: Any, path: str) -> Iterator[TaskItem]:
    """Spelling correction: form and corrected_form, where they differ."""
    for n, part in enumerate(walk(item, path), 1):
        text, right = first(part, "form", "original_form"), first(part, "corrected_form")
        if text and right and text != right:
            yield TaskItem(
                "correction",
                first(part, "id"),
                {"text": unmasked(text), "corrected": unmasked(right)},
                {},
                f"k{n}",
            )


def _sentences(item: Any, root: Any) -> Iterator[Text | TaskItem]:
    """Analysed corpora: sentences with morphemes, senses, entities, relations; the document is their text."""
    meta = _meta(item, root, "book")
    sentences = [unmasked(t) for t in strings(item, "sentence[].form")]
    if meta["kind"] == "messenger":
        meta["kind"] = "dialogue"
    if text := ("\n" if meta["kind"] == "dialogue" else " ").join(sentences):
        yield Text(text, first(item, "id") or None, meta)


def _paraphrases(item: Any, root: Any) -> Iterator[Text | TaskItem]:
    texts = list(dict.fromkeys(strings(item, "paraphrases[].form")))
    if sentence := first(item, "sentence_form", "form", "sentence"):
        texts = [sentence, *(t for t in texts if t != sentence)]
    if len(texts) > 1:
        yield TaskItem("paraphrase", first(item, "id", "sentence_id"), {"texts": texts})


def _summaries(item: Any, root: Any) -> Iterator[Text | TaskItem]:
    """Summaries of newspaper articles that are delivered apart: the article is known by its id only."""
    id = first(item, "document_id", "id")
    for style, path in (("topic_sentences", "topic_sentences"), ("summary_sentences", "summary_sentences")):
        value = item.get(path)
        text = " ".join(strings(item, f"{path}[]")) if isinstance(value, list) else string(value, path)
        if text:
            yield TaskItem(
                "answer", id, {"text": text, "key": ["nikl.summary", id, style]}, {"style": style}, style
            )


def _assembly(item: Any, root: Any) -> Iterator[Text | TaskItem]:
    """Minutes of the assembly with a summary of the whole and of each issue."""
    meta = _meta(item, root, "dialogue")
    turns = turns_at(item, "sentence[]", by_key("speaker_id", "speaker"), ("form", "sentence"), spoken)
    text, id = script(turns, joined=True), first(item, "id", "document_id")
    if text:
        yield Text(text, id or None, meta)
    holders = item["SC"] if isinstance(item["SC"], list) else [item["SC"]]
    for n, holder in enumerate(holders, 1):
        if not isinstance(holder, Mapping):
            continue
        for name, style in (("main_summary", "abstractive"), ("issue_summary", "issue")):
            for m, summary in enumerate(_summary_texts(holder.get(name)), 1):
                yield from summary_item(id, text, summary, style, meta, f"{name[0]}{n}.{m}")


def _summary_texts(value: Any) -> list[str]:
    """A summary as a string, a list of strings, or objects with `form`, `summary` or `sentence`."""
    if isinstance(value, Mapping):
        return [t] if (t := first(value, "form", "summary", "sentence")) else []
    if isinstance(value, list):
        return [t for v in value for t in _summary_texts(v)]
    return [t] if (t := string(value, "summary")) else []


def _unpublished(item: Any, root: Any) -> Iterator[Text | TaskItem]:
    """비출판물: a row is a sentence of a file."""
    rows = item["rows"]
    if text := "\n".join(strings(item, "rows[].sentence")):
        yield Text(unmasked(text), first(rows[0], "file_id") or None)


def _same_file(rows: Any) -> Iterator[tuple[str, Any]]:
    return grouped(lambda row, before: first(row, "file_id") != first(before, "file_id"))(rows)


LAYOUTS = (
    Layout(name="nikl.assembly_summary", title="모두의 말뭉치: 국회 회의록 요약", kind="dialogue", items=("document[]", "data[]"),
           needs=("sentence:list", "SC"), read=_assembly, owner="NIKL"),
    Layout(name="nikl.written", title="모두의 말뭉치: 신문·문어·웹", kind="book", items=("document[]",), only=True,
           needs=("paragraph[].form:str",),
           read=_written, owner="NIKL"),
    Layout(name="nikl.spoken", title="모두의 말뭉치: 구어·대화·메신저·온라인·국회 회의록", kind="dialogue", items=("document[]",), only=True,
           needs=("utterance[]:dict",), read=_spoken, owner="NIKL"),
    Layout(name="nikl.analysed", title="모두의 말뭉치: 분석 말뭉치", kind="book", items=("document[]",), only=True,
           needs=("sentence[].form:str",), lacks=("SC",), read=_sentences, owner="NIKL"),
    Layout(name="nikl.paraphrase", title="모두의 말뭉치: 유사 문장", kind="dialogue", items=("data[]",), needs=("paraphrases[].form:str",),
           read=_paraphrases, owner="NIKL"),
    Layout(name="nikl.summary", title="모두의 말뭉치: 문서 요약", kind="news", items=("data[]",), needs=("summary_sentences",),
           read=_summaries, owner="NIKL"),
    Layout(name="nikl.unpublished", title="모두의 말뭉치: 비출판물", kind="book", needs=("file_id", "sentence"), read=_unpublished,
           group=_same_file, owner="NIKL"),
)  # fmt: skip
