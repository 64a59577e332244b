"""AI Hub data sets of instructions, answers and ratings: little for the corpus, much for chats and pairs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from kodata.sources.aihub.item import TaskItem, Text, Turn
from kodata.sources.aihub.layout import Layout
from kodata.sources.aihub.marks import unmasked
from kodata.sources.aihub.paths import first, string, strings, walk
from kodata.sources.aihub.questions import qa_item
from kodata.sources.aihub.talk import role_of, script
from kodata.sources.aihub.written import meta_of

_ANSWER = re.compile(r"answer(\d{1,2})")
_71748 = {
    "category": "data_category.main",
    "subcategory": "data_category.middle",
    "question_type": "question_type",
}


def _hyper_source(item: Any, root: Any) -> Iterator[Text | TaskItem]:
    """71748 원천: contents is a text, or pieces of text with questions about them."""
    meta = meta_of(item, {"title": "data_title"} | _71748)
    id, contents = first(item, "data_id"), item["contents"]
    if not isinstance(contents, list):
        if text := string(contents, "contents"):
            yield Text(text, id or None, meta)
        return
    for n, piece in enumerate(contents, 1):
        text = first(piece, "text")
        if text:
            yield Text(text, f"{id}#{n}" if id and len(contents) > 1 else id or None, meta, f"c{n}")
        for m, qa in enumerate(walk(piece, "QA[]"), 1):
            yield from qa_item(f"{id}#{n}.{m}", first(qa, "question"), [a] if (a := first(qa, "answer")) else [], text, meta,
                               place=f"c{n}q{m}")  # fmt: skip


def _hyper_sft(item: Any, root: Any) -> Iterator[Text | TaskItem]:
    question, answer = first(item, "question"), first(item, "answer.contents")
    if question and answer:
        yield TaskItem(
            "instruction",
            first(item, "data_id"),
            {"prompt": question, "answer": answer, "system": ""},
            meta_of(item, _71748),
        )


def _hyper_rm(item: Any, root: Any) -> Iterator[Text | TaskItem]:
    """71748 RM: answer01 … with a ranking each; the lowest is the best. Answers without a ranking cannot be placed."""
    ranked = []
    for name, answer in item.items():
        if _ANSWER.fullmatch(name) and isinstance(answer, Mapping):
            text, rank = first(answer, "contents"), first(answer, "ranking")
            if text and re.fullmatch(r"\d{1,2}", rank):
                ranked.append((int(rank), name, text))
    ranked.sort()
    question = first(item, "question")
    if question and len(ranked) > 1:
        fields = {"prompt": [{"speaker": "", "text": question, "role": "user"}], "answers": [text for *_, text in ranked],
                  "ranks": [rank for rank, *_ in ranked], "task": "chat"}  # fmt: skip
        yield TaskItem("ranking", first(item, "data_id"), fields, meta_of(item, _71748))


def _hyper_prompt(item: Any, root: Any) -> Iterator[Text | TaskItem]:
    if question := first(item, "question"):
        yield TaskItem("prompt", first(item, "data_id"), {"prompt": question}, meta_of(item, _71748))


def _rated_dialogue(item: Any, root: Any) -> Iterator[Text | TaskItem]:
    """021: bot turns with yes/no marks; everything said before is the prompt."""
    roles = {}
    for speaker in walk(item, "metadata.speakers[]"):
        roles[first(speaker, "id", "speaker_id")] = role_of(first(speaker, "speaker_type"))
    meta = meta_of(item, {"topic": "metadata.topic|metadata.title"})
    id = first(item, "id", "conversation_id", "metadata.conversation_id")
    turns: list[Turn] = []
    tasks: list[TaskItem] = []
    for n, utterance in enumerate(walk(item, "utterances[]"), 1):
        words, who = unmasked(first(utterance, "utterance_text")), first(utterance, "speaker_id")
        if not words:
            continue
        marks = [e for e in walk(utterance, "utterance_evaluation[]") if isinstance(e, Mapping)] \
            if isinstance(utterance.get("utterance_evaluation"), list) else [utterance.get("utterance_evaluation")]  # fmt: skip
        if roles.get(who) == "assistant" and turns and (found := _marks(marks)):
            fields = {"prompt": [t.to_dict() for t in turns], "answer": words, "marks": found}
            tasks.append(TaskItem("rating", f"{id}#{n}" if id else "", fields, meta, f"u{n}"))
        turns.append(Turn(who, words, roles.get(who, "")))
    if not turns:
        return
    yield Text(script(turns), id or None, meta)
    summary = unmasked(first(item, "conversation_summary", "conversation_summary[]"
                             if isinstance(item.get("conversation_summary"), list) else "conversation_summary"))  # fmt: skip
    as_dicts = [t.to_dict() for t in turns]
    yield TaskItem(
        "dialogue",
        id,
        {"turns": as_dicts, "topic": meta.get("topic", ""), "situation": "", "persona": {}},
        meta,
    )
    if summary:
        fields = {
            "text": script(turns),
            "summary": summary,
            "style": "abstractive",
            "title": "",
            "turns": as_dicts,
        }
        yield TaskItem("summary", id, fields, meta)
    yield from tasks


def _marks(evaluations: list[Any]) -> dict[str, bool]:
    """Several judges: yes where more than half say yes."""
    votes: dict[str, list[bool]] = {}
    for evaluation in evaluations:
        for name, value in (evaluation or {}).items() if isinstance(evaluation, Mapping) else ():
            if isinstance(value, bool) or (
                isinstance(value, str) and value.strip().lower() in ("yes", "no", "y", "n")
            ):
                votes.setdefault(name, []).append(value is True or str(value).strip().lower() in ("yes", "y"))
    return {name: 2 * sum(said) > len(said) for name, said in votes.items()}


def _petition(item: Any, root: Any) -> Iterator[Text | TaskItem]:
    meta = meta_of(item, {"department": "labeling.department", "category": "labeling.intent.category"})
    id, text = first(item, "id"), unmasked(first(item, "Q_refined"))
    if not text:
        return
    yield Text(text, id or None, meta)
    for name in ("department", "intent.category", "intent.subcategory", "intent.predication"):
        for label in strings(item, f"labeling.{name}"):
            yield TaskItem(
                "label", id, {"text": text, "label": label, "name": name.rpartition(".")[2]}, meta, name
            )


def _health_key(item: Any) -> list[str]:
    return [first(item, "disease_category"), first(item, "disease_name.kor"), first(item, "intention")]


_HEALTH = {"category": "disease_category", "title": "disease_name.kor", "intention": "intention"}


def _health_question(item: Any, root: Any) -> Iterator[Text | TaskItem]:
    if text := first(item, "question"):
        yield TaskItem(
            "question",
            first(item, "fileName", "id"),
            {"text": text, "key": _health_key(item)},
            meta_of(item, _HEALTH),
        )


def _health_answer(item: Any, root: Any) -> Iterator[Text | TaskItem]:
    """The answer is prose that stands alone, so it is a document too."""
    text = "\n".join(first(item, f"answer.{part}") for part in ("intro", "body", "conclusion")).strip()
    if text:
        id, meta = first(item, "fileName", "id"), meta_of(item, _HEALTH)
        yield Text(text, id or None, meta)
        yield TaskItem("answer", id, {"text": text, "key": _health_key(item)}, meta)


LAYOUTS = (
    Layout(name="aihub.hyper_source", title="한국어 성능이 개선된 초거대AI (원천)", kind="book", items=("data_info[]",),
           needs=("contents", "data_title"), read=_hyper_source),
    Layout(name="aihub.hyper_source", title="대규모 말뭉치", kind="book", items=("data_info[]",), only=True,
           needs=("contents",), read=_hyper_source),
    Layout(name="aihub.hyper_source", title="한국어 성능이 개선된 초거대AI (원천)", kind="book", needs=("contents[].QA",), read=_hyper_source),
    Layout(name="aihub.hyper_sft", title="한국어 성능이 개선된 초거대AI (SFT)", kind="qa", items=("data_info[]",),
           needs=("question:str", "answer.contents:str"), read=_hyper_sft),
    Layout(name="aihub.hyper_rm", title="한국어 성능이 개선된 초거대AI (RM)", kind="qa", items=("data_info[]",),
           needs=("question:str", "answer01.contents:str"), read=_hyper_rm),
    Layout(name="aihub.hyper_prompts", title="한국어 성능이 개선된 초거대AI (PPO)", kind="qa", items=("data_info[]",),
           needs=("question:str", "data_id"), lacks=("answer", "answer01", "context"), read=_hyper_prompt),
    Layout(name="aihub.rated_dialogue", title="AI 응답 결과에 대한 품질 평가", kind="dialogue", items=("dataset.conversations[]",),
           needs=("utterances[].utterance_text", "metadata.speakers:list"), read=_rated_dialogue),
    Layout(name="aihub.petitions", title="민원 업무 효율, 자동화를 위한 언어 AI", kind="dialogue", needs=("Q_refined:str", "labeling:dict"),
           read=_petition),
    Layout(name="aihub.health_questions", title="초거대AI 사전학습용 헬스케어 질의응답 (질문)", kind="qa",
           needs=("disease_category", "disease_name.kor", "question:str"), read=_health_question),
    Layout(name="aihub.health_answers", title="초거대AI 사전학습용 헬스케어 질의응답 (답변)", kind="academic",
           needs=("disease_category", "disease_name.kor", "answer:dict"), read=_health_answer),
)  # fmt: skip
