"""Task records (a text and its summary, a passage with a question, …) as conversations, in several Korean wordings.

Which wording a record gets is drawn from (seed, kind, id), so the same record always reads the same. All templates of the
house stand here and nowhere else; `WORDINGS[kind]` are prompts, `{…}` their fields.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kodata.chat.records import Message, RecordError

WORDINGS: dict[str, tuple[str, ...]] = {
    "summary": (
        "다음 글을 요약해 주세요.\n\n{text}",
        "아래 글의 핵심 내용을 간추려 주세요.\n\n{text}",
        "{text}\n\n위 글을 짧게 정리해 주세요.",
        "글이 길어서 다 읽기 어렵습니다. 중요한 내용만 정리해 주세요.\n\n{text}",
        "{text}\n\n이 글이 말하고자 하는 바를 요약하세요.",
    ),
    "summary.one_line": (
        "다음 글을 한 문장으로 요약해 주세요.\n\n{text}",
        "{text}\n\n위 글의 내용을 한 문장으로 말해 주세요.",
        "아래 글의 요지를 한 줄로 적어 주세요.\n\n{text}",
    ),
    "summary.short": (
        "다음 글을 두세 문장으로 짧게 요약해 주세요.\n\n{text}",
        "{text}\n\n위 글을 아주 짧게 간추려 주세요.",
        "아래 글의 요점만 짧게 적어 주세요.\n\n{text}",
    ),
    "summary.long": (
        "다음 글을 자세히 요약해 주세요.\n\n{text}",
        "{text}\n\n위 글을 빠뜨리는 내용이 없도록 길게 정리해 주세요.",
        "아래 글의 내용을 조목조목 요약해 주세요.\n\n{text}",
    ),
    "summary.extractive": (
        "다음 글에서 중요한 문장만 그대로 골라 주세요.\n\n{text}",
        "{text}\n\n위 글의 핵심 문장을 원문 그대로 뽑아 주세요.",
        "아래 글을 대표하는 문장을 본문에서 찾아 옮겨 적으세요.\n\n{text}",
    ),
    "summary.issue": (
        "다음 글의 쟁점을 정리해 주세요.\n\n{text}",
        "{text}\n\n위 글에서 다툼이 되는 점을 간추려 주세요.",
        "아래 글에서 무엇이 쟁점인지 설명해 주세요.\n\n{text}",
    ),
    "summary.section": (
        "다음은 긴 글의 한 부분입니다. 이 부분을 요약해 주세요.\n\n{text}",
        "{text}\n\n위 대목의 내용을 간추려 주세요.",
        "아래 절을 읽고 핵심을 정리해 주세요.\n\n{text}",
    ),
    "summary.dialogue": (
        "다음 대화를 요약해 주세요.\n\n{text}",
        "{text}\n\n위 대화에서 무슨 이야기가 오갔는지 정리해 주세요.",
        "아래 대화의 내용을 짧게 간추려 주세요.\n\n{text}",
        "두 사람이 나눈 대화입니다. 무슨 내용인지 요약하세요.\n\n{text}",
    ),
    "qa": (
        "다음 글을 읽고 물음에 답하세요.\n\n{context}\n\n{question}",
        "{context}\n\n위 글을 바탕으로 답해 주세요.\n\n{question}",
        "아래 글에서 답을 찾아 주세요.\n\n{context}\n\n질문: {question}",
        "{question}\n\n다음 글을 참고해 답해 주세요.\n\n{context}",
    ),
    "translation": (
        "다음 글을 {into} 번역해 주세요.\n\n{source}",
        "{source}\n\n위 글을 {into} 옮겨 주세요.",
        "아래 {from_language} 글을 {into} 번역하세요.\n\n{source}",
        "이 문장을 {into} 바꿔 주세요.\n\n{source}",
    ),
    "correction": (
        "다음 글의 맞춤법과 띄어쓰기를 바로잡아 주세요.\n\n{text}",
        "{text}\n\n위 글에서 틀린 표기를 고쳐 주세요.",
        "아래 문장을 바른 표기로 다시 써 주세요.\n\n{text}",
    ),
    "paraphrase": (
        "다음 문장을 뜻은 그대로 두고 다르게 써 주세요.\n\n{text}",
        "{text}\n\n같은 뜻의 다른 문장으로 바꿔 주세요.",
        "아래 문장을 다른 표현으로 고쳐 쓰세요.\n\n{text}",
    ),
    "extraction": (
        "다음 글에 나오는 {labels}을(를) 모두 찾아 주세요.\n\n{text}",
        "{text}\n\n위 글에서 {labels}에 해당하는 말을 뽑아 주세요.",
        "아래 글에서 정보를 추출해 주세요. 찾을 항목: {labels}\n\n{text}",
    ),
    "label": (
        "다음 글의 {name}을(를) 한마디로 답해 주세요.\n\n{text}",
        "{text}\n\n위 글은 어디에 해당합니까? 기준: {name}",
        "아래 글을 읽고 {name} 기준으로 분류해 주세요.\n\n{text}",
    ),
    "situation": ("상황: {situation}", "다음 상황에서 나누는 대화입니다. {situation}"),
    "persona": ("당신은 이런 사람입니다. {persona}", "다음 사람이 되어 대화하세요. {persona}"),
}
UNANSWERABLE = (
    "주어진 글만으로는 답을 알 수 없습니다.",
    "이 글에는 그 물음의 답이 나와 있지 않습니다.",
    "글에서 답을 찾을 수 없습니다.",
)
_LANGUAGES = {
    "ko": "한국어", "en": "영어", "ja": "일본어", "jp": "일본어", "zh": "중국어", "cn": "중국어", "vi": "베트남어",
    "th": "태국어", "id": "인도네시아어", "ru": "러시아어", "de": "독일어", "fr": "프랑스어", "es": "스페인어",
}  # fmt: skip
_LABEL_NAMES = {
    "department": "담당 부서", "category": "갈래", "subcategory": "세부 갈래", "predication": "요청 내용", "emotion": "감정",
    "topic": "주제", "intent": "의도", "sentiment": "감정", "label": "갈래",
    "level1_type": "유해 유형", "level2_type": "세부 유해 유형", "persona": "말하는 이",
}  # fmt: skip
_WHERE = re.compile(r"\{([a-z_]+)\}")


class OtherTask(RecordError):
    """A task this verb makes nothing of: an unanswered question, a preference list given to sft."""

    def __init__(self, kind: str, why: str) -> None:
        super().__init__("", f"{why}: {kind}", reason="other_task")


@dataclass(slots=True)
class Task:
    """One task record; `kodata.sources.aihub.TaskItem` has the same attributes and is taken as it is."""

    kind: str
    id: str
    fields: Mapping[str, Any]
    meta: dict[str, Any] = field(default_factory=dict)


def draw(seed: int, kind: str, id: str, count: int) -> int:
    """A number below `count`, the same for the same (seed, kind, id) everywhere."""
    digest = hashlib.blake2b(f"{seed}\0{kind}\0{id}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little") % count


def worded(kind: str, id: str, seed: int, fields: Mapping[str, Any]) -> str:
    """The prompt of a task in the wording drawn for this record. Values are put in once: braces in them stay text."""
    wordings = WORDINGS[kind]
    wording = wordings[draw(seed, kind, id, len(wordings))]
    return _WHERE.sub(lambda m: str(fields[m[1]]), wording)


def messages_of(task: Any, seed: int) -> list[Message]:
    """The conversation a task record becomes. Raises RecordError naming the field at fault, OtherTask for other kinds."""
    make = _MAKERS.get(task.kind)
    if make is None:
        raise OtherTask(task.kind, "대화로 만들지 않는 과제 (no chat is made of this task)")
    return make(task.fields, str(task.id), seed)


def _text(fields: Mapping[str, Any], key: str, *, empty: bool = False) -> str:
    value = fields.get(key)
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise RecordError(key, f"문자열이 아닙니다: {type(value).__name__} (not a string)")
    if not value.strip() and not empty:
        raise RecordError(key, "비었습니다 (empty)", reason="empty_prompt")
    return value


def _pair(prompt: str, answer: str, system: str = "") -> list[Message]:
    head = [Message("system", system)] if system.strip() else []
    return [*head, Message("user", prompt), Message("assistant", answer)]


def _summary(fields: Mapping[str, Any], id: str, seed: int) -> list[Message]:
    style = "dialogue" if fields.get("turns") else str(fields.get("style") or "")
    kind = f"summary.{style}" if f"summary.{style}" in WORDINGS else "summary"
    prompt = worded(kind, id, seed, {"text": _text(fields, "text")})
    return _pair(prompt, _text(fields, "summary", empty=True))


def _qa(fields: Mapping[str, Any], id: str, seed: int) -> list[Message]:
    question, context = _text(fields, "question"), str(fields.get("context") or "")
    if fields.get("impossible"):
        if not context.strip():
            raise RecordError(
                "context", "답할 글이 없습니다 (unanswerable without a passage)", reason="no_answer"
            )
        answer = UNANSWERABLE[draw(seed, "unanswerable", id, len(UNANSWERABLE))]
    else:
        answer = _text(fields, "answer", empty=True)
    if not context.strip():
        return _pair(question, answer)
    return _pair(worded("qa", id, seed, {"context": context, "question": question}), answer)


def _instruction(fields: Mapping[str, Any], id: str, seed: int) -> list[Message]:
    return _pair(
        _text(fields, "prompt", empty=True),
        _text(fields, "answer", empty=True),
        str(fields.get("system") or ""),
    )


def language_name(code: Any) -> str:
    """The Korean name of a language given by its code, or the word itself (한국어 stays)."""
    word = str(code or "").strip()
    return _LANGUAGES.get(word.lower().split("-")[0].split("_")[0], word)


def into_language(code: Any) -> str:
    """`영어로`, `한국어로`: the language with its particle."""
    name = language_name(code)
    if not name:
        raise RecordError("target_language", "어느 말로 옮겼는지 없습니다 (missing target language)")
    last = ord(name[-1]) - 0xAC00
    closed = 0 <= last < 11172 and last % 28 not in (0, 8)  # a final ㄹ takes 로 as an open syllable does
    return name + ("으로" if closed else "로")


def translation_prompt(fields: Mapping[str, Any], id: str, seed: int) -> str:
    """The question of a translation task."""
    language = language_name(fields.get("source_language"))
    into = into_language(fields.get("target_language"))
    return worded(
        "translation",
        id,
        seed,
        {"source": _text(fields, "source"), "into": into, "from_language": language or "다음"},
    )


def _translation(fields: Mapping[str, Any], id: str, seed: int) -> list[Message]:
    return _pair(translation_prompt(fields, id, seed), _text(fields, "target", empty=True))


def _correction(fields: Mapping[str, Any], id: str, seed: int) -> list[Message]:
    prompt = worded("correction", id, seed, {"text": _text(fields, "text")})
    return _pair(prompt, _text(fields, "corrected", empty=True))


def _paraphrase(fields: Mapping[str, Any], id: str, seed: int) -> list[Message]:
    texts = [t for t in fields.get("texts") or () if isinstance(t, str) and t.strip()]
    if len(texts) < 2:
        raise RecordError("texts", "글이 두 개 있어야 합니다 (two texts are needed)", reason="no_answer")
    return _pair(worded("paraphrase", id, seed, {"text": texts[0]}), texts[1])


def _extraction(fields: Mapping[str, Any], id: str, seed: int) -> list[Message]:
    """`entities`: [{"text", "label"}]. The answer lists each label once, its texts in the order they stand."""
    found: dict[str, list[str]] = {}
    for i, entity in enumerate(fields.get("entities") or ()):
        if not isinstance(entity, Mapping):
            raise RecordError(f"entities[{i}]", "객체가 아닙니다 (not an object)")
        text, label = entity.get("text"), entity.get("label")
        if not isinstance(text, str) or not isinstance(label, str):
            raise RecordError(f"entities[{i}]", "text와 label이 있어야 합니다 (needs text and label)")
        if text not in found.setdefault(label, []):
            found[label].append(text)
    if not found:
        raise RecordError("entities", "찾을 것이 없습니다 (nothing to extract)", reason="no_answer")
    prompt = worded("extraction", id, seed, {"text": _text(fields, "text"), "labels": ", ".join(found)})
    return _pair(prompt, "\n".join(f"{label}: {', '.join(texts)}" for label, texts in found.items()))


def _label(fields: Mapping[str, Any], id: str, seed: int) -> list[Message]:
    name = str(fields.get("name") or "")
    name = _LABEL_NAMES.get(name, name) or "갈래"
    return _pair(
        worded("label", id, seed, {"text": _text(fields, "text"), "name": name}), _text(fields, "label")
    )


def turn_roles(turns: Sequence[Mapping[str, Any]]) -> list[Message]:
    """Turns with speakers as messages: roles where the source says them, else the first speaker asks and the second answers.

    Turns of one speaker in a row become one message; an opening by the answering side is shown as nobody's question and so
    left out. Raises RecordError for more than two speakers without roles.
    """
    speakers: list[str] = []
    messages: list[Message] = []
    for i, turn in enumerate(turns):
        text = _text(turn, "text", empty=True)
        speaker = str(turn.get("speaker") or "")
        role = str(turn.get("role") or "")
        if not role:
            if speaker not in speakers:
                speakers.append(speaker)
            if len(speakers) > 2:
                raise RecordError(
                    f"turns[{i}].speaker",
                    "말하는 이가 셋 이상입니다 (more than two speakers)",
                    reason="speakers",
                )
            role = ("user", "assistant")[speakers.index(speaker)]
        if not text.strip():
            continue
        if messages and messages[-1].role == role:
            messages[-1].content += f"\n{text}"
        else:
            messages.append(Message(role, text))
    head = 1 if messages and messages[0].role == "system" else 0
    if len(messages) > head and messages[head].role == "assistant":
        del messages[head]
    return messages


def _dialogue(fields: Mapping[str, Any], id: str, seed: int) -> list[Message]:
    turns = fields.get("turns") or ()
    messages = turn_roles(turns)
    about = []
    situation, persona = str(fields.get("situation") or ""), fields.get("persona") or {}
    answering = next((str(t.get("speaker")) for t in turns if t.get("role") == "assistant"), "")
    if not answering:
        named = list(dict.fromkeys(str(t.get("speaker") or "") for t in turns))
        answering = named[1] if len(named) > 1 else ""
    own = persona.get(answering) if isinstance(persona, Mapping) else None
    if situation.strip():
        about.append(worded("situation", id, seed, {"situation": situation}))
    if own:
        about.append(worded("persona", id, seed, {"persona": " ".join(map(str, own))}))
    if about and messages and messages[0].role != "system":
        messages.insert(0, Message("system", "\n".join(about)))
    return messages


_MAKERS: dict[str, Callable[[Mapping[str, Any], str, int], list[Message]]] = {
    "summary": _summary,
    "qa": _qa,
    "instruction": _instruction,
    "translation": _translation,
    "correction": _correction,
    "paraphrase": _paraphrase,
    "extraction": _extraction,
    "label": _label,
    "dialogue": _dialogue,
}
