"""Records that are no conversation yet: passages with questions, message trees, texts with summaries or translations.

`layout_of(record)` tells which; `tasks_of(record)` gives the tasks in it (`kodata.chat.tasks` words them), `tree_chats` the
conversations of an OpenAssistant tree.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from kodata.chat.records import Chat, Message, RecordError, messages_hash
from kodata.chat.tasks import Task

SQUAD_EXAMPLE = (
    '{"paragraphs": [{"context": "서울은 한국의 수도이다.", "qas": [{"id": "q1", "question": "한국의 수도는?", '
    '"answers": [{"text": "서울", "answer_start": 0}]}]}]}'
)
TREE_EXAMPLE = (
    '{"message_tree_id": "t1", "prompt": {"text": "수도는?", "role": "prompter", "replies": '
    '[{"text": "서울입니다.", "role": "assistant", "rank": 0, "replies": []}]}}'
)
_TAG = re.compile(r"<(?:script|style)\b.*?</(?:script|style)>|<[^<>]*>", re.S | re.I)
_BLANKS = re.compile(r"[ \t\xa0]*\n\s*")


def layout_of(record: Mapping[str, Any]) -> str:
    """Name of the layout, "" for none: squad, tree, mrc, summary, translation, extraction."""
    return next((name for name, fits in _LAYOUTS.items() if fits(record)), "")


def tasks_of(record: Mapping[str, Any]) -> Iterator[Task | RecordError]:
    """The tasks of one record of a task layout; a wrong one inside is given as its error and does not stop the rest."""
    name = layout_of(record)
    meta = {k: v for k, v in record.items() if k not in _USED and not isinstance(v, list | dict)}
    if isinstance(record.get("meta"), Mapping):
        meta = {**record["meta"], **meta}
    if name == "squad":
        yield from _squad(record)
    elif name == "mrc":
        yield from _question(record, str(record["context"]), "", meta)
    elif name == "summary":
        text = next(record[k] for k in _TEXT_KEYS if isinstance(record.get(k), str))
        yield Task("summary", _id(record, str(text)), {"text": text, "summary": record["summary"]}, meta)
    elif name == "translation":
        yield _parallel(record, meta)
    elif name == "extraction":
        text = str(record.get("text") or record.get("sentence"))
        yield Task("extraction", _id(record, text), {"text": text, "entities": record["entities"]}, meta)


# --- passages with questions ----------------------------------------------------------------------


def _squad(record: Mapping[str, Any]) -> Iterator[Task | RecordError]:
    """SQuAD articles: KorQuAD 1.0, KLUE-MRC (`paragraphs`), KorQuAD 2.x (`qas` and an HTML `context`)."""
    meta = {"title": record["title"]} if isinstance(record.get("title"), str) else {}
    paragraphs = record.get("paragraphs", [record])
    if not isinstance(paragraphs, list):
        yield RecordError("paragraphs", "목록이 아닙니다 (not a list)", example=SQUAD_EXAMPLE)
        return
    for i, paragraph in enumerate(paragraphs):
        at = f"paragraphs[{i}]."
        if not isinstance(paragraph, Mapping) or not isinstance(paragraph.get("context"), str):
            yield RecordError(f"{at}context", "문자열이 없습니다 (no string)", example=SQUAD_EXAMPLE)
            continue
        if not isinstance(paragraph.get("qas"), list):
            yield RecordError(f"{at}qas", "목록이 없습니다 (no list)", example=SQUAD_EXAMPLE)
            continue
        context = plain(paragraph["context"])
        for j, qa in enumerate(paragraph["qas"]):
            if isinstance(qa, Mapping):
                yield from _question(qa, context, f"{at}qas[{j}].", dict(meta))
            else:
                yield RecordError(f"{at}qas[{j}]", "객체가 아닙니다 (not an object)", example=SQUAD_EXAMPLE)


def _question(
    qa: Mapping[str, Any], context: str, at: str, meta: dict[str, Any]
) -> Iterator[Task | RecordError]:
    question = qa.get("question")
    if not isinstance(question, str):
        yield RecordError(f"{at}question", "문자열이 없습니다 (no string)", example=SQUAD_EXAMPLE)
        return
    impossible = qa.get("is_impossible") is True or qa.get("plausible_answers") is not None
    answers = _answers(qa)
    if not answers and not impossible:
        yield RecordError(
            f"{at}answers", "답이 없습니다 (no answer)", reason="no_answer", example=SQUAD_EXAMPLE
        )
        return
    fields = {
        "context": context, "question": question, "impossible": impossible, "answers": answers,
        "answer": answers[0] if answers else "",
    }  # fmt: skip
    yield Task("qa", str(qa.get("id") or qa.get("guid") or _id({}, f"{question}\0{context}")), fields, meta)


def _answers(qa: Mapping[str, Any]) -> list[str]:
    """Texts of `answers` or `answer`: strings, `{text}` objects, a list of either, or `{"text": […]}`; KorQuAD 2 has HTML."""
    value = qa.get("answers", qa.get("answer"))
    items = value if isinstance(value, list) else [value]
    texts: list[str] = []
    for item in items:
        if isinstance(item, Mapping):
            item = item.get("text")
        for text in item if isinstance(item, list) else [item]:
            if isinstance(text, str) and text.strip():
                texts.append(plain(text).strip())
    return list(dict.fromkeys(texts))


def plain(text: str) -> str:
    """The text of an HTML passage (KorQuAD 2.x); any other text as it is."""
    if "</" not in text:
        return text
    return _BLANKS.sub("\n", html.unescape(_TAG.sub("\n", text))).strip()


# --- texts with one counterpart -------------------------------------------------------------------

_TEXT_KEYS = ("document", "article", "passage", "text", "context", "dialogue", "original")
_PARALLEL = (
    ("ko", "en", "ko", "en"),
    ("korean", "english", "ko", "en"),
    ("원문", "번역문", "", ""),
    ("원문", "최종번역문", "", ""),
    ("한국어", "영어", "ko", "en"),
    ("source", "target", "", ""),
)


def _parallel_keys(record: Mapping[str, Any]) -> tuple[str, str, str, str] | None:
    for source, target, one, other in _PARALLEL:
        if isinstance(record.get(source), str) and isinstance(record.get(target), str):
            return source, target, one, other
    return None


def _parallel(record: Mapping[str, Any], meta: dict[str, Any]) -> Task:
    keys = _parallel_keys(record)
    assert keys is not None, "layout_of comes first"
    source, target, one, other = keys
    fields = {
        "source": record[source],
        "target": record[target],
        "source_language": record.get("source_language") or one or _script(record[source]),
        "target_language": record.get("target_language") or other or _script(record[target]),
        "draft": record.get("mt") or record.get("MT") or "",
    }
    return Task("translation", _id(record, record[source]), fields, meta)


def _script(text: str) -> str:
    """ko where there is Hangul, ja where kana, zh where only Chinese characters, else en."""
    for name, low, high in (("ko", "가", "힣"), ("ja", "\u3040", "\u30ff"), ("zh", "一", "\u9fff")):
        if any(low <= c <= high for c in text):
            return name
    return "en"


# --- OpenAssistant trees --------------------------------------------------------------------------


def tree_chats(record: Mapping[str, Any]) -> Iterator[Chat | RecordError]:
    """Conversations of an OpenAssistant tree: every path to a last answer that goes through the best ranked answers.

    A stretch that two paths share is learned in the first only (`train` false in the others).
    """
    root = record["prompt"]
    tree = str(record.get("message_tree_id") or root.get("message_id") or "")
    meta = {k: record[k] for k in ("tree_state",) if isinstance(record.get(k), str)}
    learned: set[int] = set()
    count = 0
    for path in _paths(root, 0):
        messages = []
        try:
            for node in path:
                fresh = id(node) not in learned
                messages.append(Message(_ROLES[node["role"]], _node_text(node), fresh))
        except RecordError as error:
            yield error
            continue
        learned.update(id(n) for n, m in zip(path, messages, strict=True) if m.role == "assistant")
        for message in messages:
            message.train = message.train or message.role != "assistant"
        count += 1
        name = f"{tree}-{count}" if tree and count > 1 else tree
        language = root.get("lang")
        yield Chat(
            name or messages_hash(messages),
            messages,
            "",
            {**meta, "lang": language} if language else dict(meta),
        )
    if not count:
        yield RecordError(
            "prompt.replies", "답이 없습니다 (no answer)", reason="no_answer", example=TREE_EXAMPLE
        )


_ROLES = {"prompter": "user", "user": "user", "assistant": "assistant"}
MAX_DEPTH = 64
MAX_RANK = 1 << 30


def replies_of(node: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The replies that were not deleted or rejected in review, best rank first, in their order where none is ranked."""
    replies = node.get("replies")
    good = [
        r
        for r in (replies if isinstance(replies, list) else [])
        if isinstance(r, dict) and not r.get("deleted") and r.get("review_result") is not False
    ]
    return sorted(good, key=lambda r: MAX_RANK if (rank := rank_of(r)) is None else rank)


def rank_of(node: Mapping[str, Any]) -> float | None:
    """The rank people gave a reply, None without one; NaN and numbers that are no rank count as none."""
    rank = node.get("rank")
    return float(rank) if isinstance(rank, int | float) and abs(rank) < MAX_RANK else None


def _paths(node: dict[str, Any], depth: int) -> Iterator[list[dict[str, Any]]]:
    """Paths from a node down to the last answer; of ranked answers only the best is followed."""
    if _ROLES.get(str(node.get("role"))) is None or depth > MAX_DEPTH:
        return
    replies = replies_of(node)
    if node["role"] != "assistant" and replies and rank_of(replies[0]) is not None:
        replies = replies[:1]
    found = False
    for reply in replies:
        for path in _paths(reply, depth + 1):
            found = True
            yield [node, *path]
    if not found and node["role"] == "assistant":
        yield [node]


def _node_text(node: Mapping[str, Any]) -> str:
    text = node.get("text")
    if not isinstance(text, str):
        raise RecordError("prompt…text", "문자열이 없습니다 (no string)", example=TREE_EXAMPLE)
    return text


def trees_of(rows: Iterator[tuple[Any, Any]]) -> Iterator[tuple[Any, Any]]:
    """Rows as they are, but OpenAssistant's flat messages joined into trees; a tree stands where its first message stood.

    The messages of a tree follow one another in the published files; a stray one becomes a tree of its own.
    """
    place: Any = None
    tree: dict[str, dict[str, Any]] = {}
    root: dict[str, Any] | None = None
    for where, row in rows:
        flat = isinstance(row, dict) and {"message_id", "parent_id", "text", "role"} <= row.keys()
        name = row.get("message_tree_id") if flat else None
        if root is not None and (
            not flat or name != root.get("message_tree_id") or row["parent_id"] not in tree
        ):
            yield place, {"message_tree_id": root.get("message_tree_id"), "prompt": root}
            root, tree = None, {}
        if not flat:
            yield where, row
            continue
        node = {**row, "replies": []}
        if root is None:
            root, place, tree = node, where, {str(row["message_id"]): node}
        else:
            tree[str(row["parent_id"])]["replies"].append(node)
            tree[str(row["message_id"])] = node
    if root is not None:
        yield place, {"message_tree_id": root.get("message_tree_id"), "prompt": root}


# --- telling them apart ---------------------------------------------------------------------------


def _is_mrc(record: Mapping[str, Any]) -> bool:
    return (
        isinstance(record.get("context"), str)
        and "question" in record
        and bool({"answers", "answer"} & record.keys())
    )


def _is_summary(record: Mapping[str, Any]) -> bool:
    return isinstance(record.get("summary"), str) and any(isinstance(record.get(k), str) for k in _TEXT_KEYS)


_LAYOUTS: dict[str, Callable[[Mapping[str, Any]], bool]] = {
    "squad": lambda r: isinstance(r.get("paragraphs"), list) or ("qas" in r and "context" in r),
    "tree": lambda r: isinstance(r.get("prompt"), dict) and "replies" in r["prompt"],
    "mrc": _is_mrc,
    "extraction": lambda r: isinstance(r.get("entities"), list) and bool({"text", "sentence"} & r.keys()),
    "summary": _is_summary,
    "translation": lambda r: _parallel_keys(r) is not None,
}
_USED = {
    "id", "guid", "meta", "source", "paragraphs", "qas", "context", "question", "answers", "answer", "is_impossible", "summary",
    "entities", "sentence", "ko", "en", "korean", "english", "원문", "번역문", "최종번역문", "한국어", "영어", "target", "mt", "MT",
    *_TEXT_KEYS,
}  # fmt: skip


def _id(record: Mapping[str, Any], text: str) -> str:
    value = record.get("id") or record.get("guid")
    return str(value) if isinstance(value, str | int) and value else messages_hash([Message("user", text)])
