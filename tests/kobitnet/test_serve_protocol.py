"""kobitnet serve without HTTP: text while it comes, and requests field by field."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kobitnet.serve.protocol import COMMON, HARMLESS, NOTHING, ApiError, parse
from kobitnet.serve.text import Characters, UntilStop

from . import toy

USER = {"messages": [{"role": "user", "content": "봄에는?"}]}


def test_only_whole_characters_come_out():
    made = toy.tokenizer()
    text = "뷁 강가에 🌱 á 버드나무 " + "가나다" * 9
    for size in (1, 2, 5):
        characters = Characters(made)
        pieces = [characters.push(i) for i in made.encode(text)]
        assert "".join(pieces) == text and "\ufffd" not in "".join(pieces)
        assert all(not p or p.encode().decode() == p for p in pieces) and size
    broken = Characters(made)
    assert "".join(broken.push(i) for i in [0xEA, 0x41, *made.encode("가")[:-1]]) == "\ufffdA"
    control = Characters(made)
    assert control.push(made.end_of_turn_id) == ""


def test_other_tokenizers_stream_the_same_text():
    class Words:
        """Like sentencepiece: a space before each word but the first."""

        merges = None

        def decode(self, ids, skip_special=False):
            return " ".join(["나무", "강", "봄이"][i % 3] for i in ids)

    ids = [i % 3 for i in range(200)]
    characters = Characters(Words())
    assert "".join(characters.push(i) for i in ids) == Words().decode(ids)


def test_stop_strings_over_pieces():
    for pieces in (["하나 둘", " 셋 넷"], list("하나 둘 셋 넷"), ["하나 둘 셋 넷"]):
        until_stop = UntilStop(["둘 셋", "없다"])
        out = "".join(until_stop.push(p) for p in pieces) + until_stop.end()
        assert out == "하나 " and until_stop.stopped
    held = UntilStop(["끝났다"])
    assert (held.push("이제 끝났"), held.push("고"), held.end()) == ("이제 ", "끝났고", "")
    rest = UntilStop(["끝났다"], strip=True)
    assert (rest.push(" "), rest.push("\n 끝"), rest.end()) == ("", "", "끝")
    first = UntilStop(["나다", "가나"])
    assert first.push("가나다") == "" and first.stopped


BAD = [
    ({}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": "안녕"}, "messages"),
    ({"messages": [1]}, "messages[0]"),
    ({"messages": [{"role": "마법사", "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": ["user"], "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "user"}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": None}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content[0]"),
    ({"messages": [{"role": "user", "content": "x", "tool_calls": [{}]}]}, "messages[0].tool_calls"),
    ({"messages": [{"role": "assistant", "content": "x"}]}, "messages"),
    ({**USER, "temprature": 1}, "temprature"),
    ({**USER, "temperature": "hot"}, "temperature"),
    ({**USER, "temperature": -1}, "temperature"),
    ({**USER, "temperature": True}, "temperature"),
    ({**USER, "top_p": 0}, "top_p"),
    ({**USER, "top_p": 1.5}, "top_p"),
    ({**USER, "top_k": 1.5}, "top_k"),
    ({**USER, "max_tokens": 0}, "max_tokens"),
    ({**USER, "max_tokens": 2.0}, "max_tokens"),
    ({**USER, "seed": "1"}, "seed"),
    ({**USER, "stop": ["a"] * 5}, "stop"),
    ({**USER, "stop": [""]}, "stop"),
    ({**USER, "stop": {"a": 1}}, "stop"),
    ({**USER, "stream": "yes"}, "stream"),
    ({**USER, "stream_options": 1}, "stream_options"),
    ({**USER, "n": 2}, "n"),
    ({**USER, "tools": [{}]}, "tools"),
    ({**USER, "logprobs": True}, "logprobs"),
    ({**USER, "logprobs": 0}, "logprobs"),
    ({**USER, "n": True}, "n"),
    ({**USER, "repetition_penalty": 1e-300}, "repetition_penalty"),
    ({**USER, "presence_penalty": 0.5}, "presence_penalty"),
    ({**USER, "model": 3}, "model"),
]


@pytest.mark.parametrize(("body", "param"), BAD, ids=[str(i) for i in range(len(BAD))])
def test_bad_requests_name_the_field(body, param):
    with pytest.raises(ApiError) as caught:
        parse(body, chat=True)
    assert caught.value.status == 400 and caught.value.param == param
    assert any("가" <= c <= "힣" for c in str(caught.value))
    json.dumps(caught.value.body())


def test_fields_that_ask_for_nothing_pass():
    asked = parse({**USER, "n": 1, "tools": None, "frequency_penalty": 0.0, "response_format": {"type": "text"}, "store": True}, chat=True)  # fmt: skip
    assert asked.messages == USER["messages"] and asked.temperature == 1.0
    assert parse({"prompt": "x", "top_k": -1}, chat=False).top_k == 0


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
FIELDS = st.sampled_from([*COMMON, *NOTHING, *HARMLESS, "messages", "prompt", "모름"])


@given(st.dictionaries(FIELDS, JSON, max_size=5) | JSON, st.booleans(), st.booleans())
def test_any_json_is_answered_or_refused(body, chat, filled):
    if filled and isinstance(body, dict):
        body = {**body, "messages": USER["messages"]} if chat else {**body, "prompt": "가"}
    try:
        asked = parse(body, chat=chat)
    except ApiError as error:
        assert error.status == 400 and json.dumps(error.body(), ensure_ascii=False)
    else:
        assert asked.chat == chat and 0 < asked.top_p <= 1 and asked.temperature >= 0
