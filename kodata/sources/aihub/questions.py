"""AI Hub data sets of questions about a text: the text is the document, the questions are task items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kodata.sources.aihub.item import TaskItem, Text, WrongItem
from kodata.sources.aihub.layout import Layout
from kodata.sources.aihub.paths import first, string, strings, walk
from kodata.sources.aihub.written import meta_of, summary_item


def _answers(value: Any) -> list[str]:
    """Answers as a list of {text}, one {text}, a list of strings or a string."""
    if isinstance(value, Mapping):
        value = [value]
    if isinstance(value, str):
        return [value.strip()] if value.strip() else []
    if value is None:
        return []
    if not isinstance(value, list):
        raise WrongItem(f"answers: 목록이 아님 (not a list): {type(value).__name__}")
    texts = [first(a, "text") if isinstance(a, Mapping) else string(a, "answers[]") for a in value]
    return list(dict.fromkeys(t for t in texts if t))


def qa_item(id: str, question: str, answers: list[str], context: str, meta: dict[str, Any], impossible: bool = False,
            place: str = "") -> Iterator[TaskItem]:  # fmt: skip
    """A question about a context ("" for none); one without an answer only where it is said to have none."""
    if question and (answers or impossible):
        yield TaskItem(
            "qa", id,
            {"question": question, "answer": answers[0] if answers else "", "context": context,
             "impossible": impossible and not answers, "answers": answers, "title": meta.get("title", "")},
            meta, place,
        )  # fmt: skip


def _mrc(item: Any, root: Any) -> Iterator[Text | TaskItem]:
    meta = meta_of(
        item, {"title": "doc_title|title|content_title", "date": "doc_published|published", "url": "url",
               "publisher": "doc_source|source", "category": "doc_class.class|doc_class|category|domain"})  # fmt: skip
    base = first(item, "doc_id", "id")
    for number, paragraph in enumerate(walk(item, "paragraphs[]"), 1):
        context = first(paragraph, "context")
        place = f"p{number}"
        id = first(paragraph, "context_id", "id")
        if context:
            yield Text(context, id or (f"{base}#{number}" if base else None), meta, place)
        for n, qa in enumerate(walk(paragraph, "qas[]"), 1):
            yield from qa_item(
                first(qa, "question_id", "id"), first(qa, "question"),
                _answers(qa.get("answers", qa.get("answer"))), context, meta,
                bool(qa.get("is_impossible")), f"{place}q{n}",
            )  # fmt: skip


def _drop_answers(answer: Any) -> list[str]:
    """DROP: spans, else a date, else a number with its unit."""
    if spans := strings(answer, "spans[].text"):
        return [", ".join(spans)]
    if date := [f"{value}{unit}" for key, unit in (("year", "년"), ("month", "월"), ("day", "일"))
                if (value := first(answer, f"date.{key}"))]:  # fmt: skip
        return [" ".join(date)]
    number = answer.get("number") if isinstance(answer, Mapping) else None
    if isinstance(number, Mapping):
        value = first(number, "number")
        return [value + first(number, "unit")] if value else []
    return [string(number, "number")] if number not in (None, "") else []


def _numbers(item: Any, root: Any) -> Iterator[Text | TaskItem]:
    meta = meta_of(item, {"title": "title", "category": "category"})
    passage, base = first(item, "passage"), first(item, "passage_id", "id")
    if passage:
        yield Text(passage, base or None, meta)
    for n, pair in enumerate(walk(item, "qa_pairs[]"), 1):
        yield from qa_item(first(pair, "query_id", "id") or (f"{base}#{n}" if base else ""), first(pair, "question"),
                           _drop_answers(pair.get("answer")), passage, meta, place=f"q{n}")  # fmt: skip


def _contexts(item: Any, root: Any) -> Iterator[Text | TaskItem]:
    """152, 153: pieces of a technical document, each with a summary, or with questions, and wrong answers to some."""
    meta = meta_of(
        item, {"title": "doc_title.kor|doc_title", "category": "doc_type", "date": "doc_year|date"}
    )
    base = first(item, "doc_id")
    for n, piece in enumerate(walk(item, "context_info[]"), 1):
        context, place = first(piece, "context"), f"c{n}"
        id = first(piece, "context_id") or (f"{base}#{n}" if base else "")
        if context:
            yield Text(context, id or None, meta, place)
        yield from summary_item(id, context, first(piece, "summary"), "abstractive", meta, place)
        for m, qa in enumerate(walk(piece, "qas[]"), 1):
            question, answers = (
                first(qa, "question-1", "question"),
                _answers(qa.get("answer", qa.get("answers"))),
            )
            qa_id, at = first(qa, "question_id", "id") or f"{id}#{m}", f"{place}q{m}"
            yield from qa_item(qa_id, question, answers, context, meta, bool(qa.get("is_impossible")), at)
            wrong = [w for w in _answers(qa.get("wrong_answer")) if answers and w != answers[0]]
            if question and wrong:
                prompt = [
                    {
                        "speaker": "",
                        "text": f"{context}\n\n{question}" if context else question,
                        "role": "user",
                    }
                ]
                fields = {
                    "prompt": prompt,
                    "answers": [answers[0], *wrong],
                    "ranks": [1] + [2] * len(wrong),
                    "task": "qa",
                }
                yield TaskItem("ranking", qa_id, fields, meta, at)


def _assembly_search(item: Any, root: Any) -> Iterator[Text | TaskItem]:
    meta = meta_of(item, {"title": "title|agenda", "date": "date", "category": "committee_name"})
    id, context, learn = (
        first(item, "id", "context_id", "doc_id"),
        first(item, "context"),
        first(item, "context_learn"),
    )
    if context:
        yield Text(context, id or None, meta)
    if learn and learn not in context:
        yield Text(learn, f"{id}#learn" if id else None, meta, "learn")
    summary = item.get("context_summary")
    for n, pair in enumerate(summary if isinstance(summary, list) else [summary], 1):
        yield from qa_item(
            id,
            first(pair, "summary_q"),
            _answers(first(pair, "summary_a")),
            learn or context,
            meta,
            place=f"q{n}",
        )


def _archive_qa(item: Any, root: Any) -> Iterator[Text | TaskItem]:
    meta = meta_of(item, {"title": "title", "date": "date", "publisher": "publisher", "category": "type"})
    id, context = first(item, "id", "data_id"), first(item, "context")
    if context:
        yield Text(context, id or None, meta)
    for n, label in enumerate(walk(item, "labels[]"), 1):
        answer = first(label, "response")
        for m, question in enumerate(strings(label, "instructs[].text"), 1):
            yield from qa_item(
                f"{id}#{n}.{m}" if id else "", question, _answers(answer), context, meta, place=f"q{n}.{m}"
            )


def _harmful_query(item: Any, root: Any) -> Iterator[Text | TaskItem]:
    text = first(item, "instruct_text")
    for n, label in enumerate(walk(item, "labels[]"), 1):
        for name in ("level1_type", "level2_type", "persona"):
            if value := first(label, name):
                yield TaskItem(
                    "label",
                    first(item, "id", "instruct_id"),
                    {"text": text, "label": value, "name": name},
                    {},
                    f"{n}{name}",
                )
    if text and not item.get("labels"):
        yield TaskItem("prompt", first(item, "id", "instruct_id"), {"prompt": text})


LAYOUTS = (
    Layout(name="aihub.assembly_search", title="국회 회의록 기반 지식검색", kind="dialogue", needs=("context:str", "context_summary"),
           items=("data[]",), read=_assembly_search),
    Layout(name="aihub.technical_documents", title="기술과학 요약·기계독해", kind="academic", items=("dataset", "dataset[]", "data[]"),
           needs=("context_info[].context:str",), read=_contexts),
    Layout(name="aihub.reading", title="기계독해", kind="book", items=("data[]",), owner="",
           needs=("paragraphs[].context:str", "paragraphs[].qas:list"), read=_mrc),
    Layout(name="aihub.number_reading", title="숫자연산 기계독해", kind="book", items=("data[]",), needs=("passage:str", "qa_pairs:list"),
           read=_numbers),
    Layout(name="aihub.archives_harmful", title="국가기록물 말뭉치 (유해질의)", kind="dialogue", items=("data[]",), needs=("instruct_text:str",),
           read=_harmful_query),
    Layout(name="aihub.archives_qa", title="국가기록물 말뭉치 (질의응답)", kind="news", items=("data[]",),
           needs=("context:str", "labels[].instructs:list"), read=_archive_qa),
)  # fmt: skip
