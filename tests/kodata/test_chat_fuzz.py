"""Whatever JSON stands in a row: both builders make something of it or say what is wrong, and never break."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from kodata.chat.answers import Ratings
from kodata.chat.dpo import DpoConfig, dpo
from kodata.chat.dpo import _found as pairs_in
from kodata.chat.records import Chat, Pair, RecordError
from kodata.chat.sft import SftConfig, sft
from kodata.chat.sft import _found as chats_in
from kodata.chat.sieve import Place
from tests import chat_layouts as made

KEYS = sorted(
    {
        "messages", "prompt", "completion", "response", "turns", "conversations", "instruction", "input", "output", "question", "answer",
        "answers", "context", "paragraphs", "qas", "text", "summary", "document", "ko", "en", "source", "target", "entities", "label",
        "role", "content", "train", "from", "value", "replies", "rank", "chosen", "rejected", "chosen_response", "rejected_response",
        "responses", "scores", "ranks", "completions", "overall_score", "winner", "response_a", "response_b", "conversation_a",
        "conversation_b", "score", "acceptable?", "answer01", "answer02", "ranking", "contents", "id", "meta", "system", "title",
        "is_impossible", "message_id", "parent_id", "message_tree_id", "history", "human_ref_A", "human_ref_B", "labels",
    }
)  # fmt: skip
leaf = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 5), st.floats(allow_nan=True), st.text(max_size=6),
    st.sampled_from(["사용자: 가?", "모델: 나", "user", "assistant", "prompter", "tool", "가나다", "a", "tie", "\ud800", ""]),
)  # fmt: skip
value = st.recursive(
    leaf,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS), inner, max_size=5)
    ),
    max_leaves=12,
)
row = st.dictionaries(st.sampled_from(KEYS), value, min_size=1, max_size=6)


@st.composite
def mutilated(draw):
    """A right record of some layout with one value replaced or taken away."""
    suffix, content, _ = draw(st.sampled_from([*made.SFT.values(), *made.DPO.values()]))
    root = json.loads(json.dumps(content))
    record = root[0] if isinstance(root, list) else root
    if suffix == ".json" and isinstance(record.get("data"), list):
        record = record["data"][0]
    place, key = record, draw(st.sampled_from(sorted(record)))
    for _ in range(draw(st.integers(0, 4))):
        inside = place[key]
        if isinstance(inside, dict) and inside:
            place, key = inside, draw(st.sampled_from(sorted(inside)))
        elif isinstance(inside, list) and inside:
            place, key = inside, draw(st.integers(0, len(inside) - 1))
    if draw(st.booleans()):
        place[key] = draw(value)
    elif isinstance(place, dict):
        del place[key]
    return record


@settings(max_examples=150)
@given(st.one_of(row, mutilated()))
def test_any_row_becomes_chats_or_errors(record):
    for _, found in chats_in(record, SftConfig(), 0):
        assert isinstance(found, Chat | RecordError)
        if isinstance(found, Chat):
            assert all(isinstance(m.content, str) for m in found.messages)


@settings(max_examples=150)
@given(st.one_of(row, mutilated()))
def test_any_row_becomes_pairs_or_errors(record):
    ratings = Ratings()
    for _, found in pairs_in(record, Place(None, 1, record), ratings, DpoConfig(), 0):  # type: ignore[arg-type]
        assert isinstance(found, Pair | RecordError)


@settings(max_examples=20)
@given(st.lists(st.one_of(row, mutilated()), max_size=5))
def test_counts_add_up_whatever_is_in_the_file(tmp_path_factory, records):
    folder = tmp_path_factory.mktemp("fuzz")
    good = {
        "prompt": "좋은 질문은 무엇인가요?",
        "chosen": "이것입니다.",
        "rejected": "저것입니다.",
        "response": "이것입니다.",
    }
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in [good, *records]), encoding="utf-8")
    for verb in (sft, dpo):
        result = verb([str(path)], output=folder / f"{verb.__name__}.jsonl")
        assert result.summary["read"] == result.summary["kept"] + sum(result.summary["dropped"].values())
        kept = (folder / f"{verb.__name__}.jsonl").read_text(encoding="utf-8").splitlines()
        assert len(kept) == result.summary["kept"] >= 1
