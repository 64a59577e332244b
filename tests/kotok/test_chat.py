"""Template and mask: golden masks by hand, equality with apply_chat_template, properties."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kodata.run.errors import UserError
from kotok.chat import prompt_ids, render, render_many, template_name
from kotok.flat import render_flat
from kotok.jinja import custom_template
from kotok.template import TEMPLATES, Turn
from kotok.tokenizer_json import CONTROL
from kotok.truncate import NothingToLearn, fit

SYSTEM = {"role": "system", "content": "너는 사서다."}
ASK = {"role": "user", "content": "책은?"}
ANSWER = {"role": "assistant", "content": "내일까지 반납하세요."}
AGAIN = {"role": "user", "content": "왜?"}
LAST = {"role": "assistant", "content": "다음 사람이 기다립니다."}

# Written by hand: (text, learned) stretches of each rendering of SYSTEM ASK ANSWER AGAIN LAST.
GOLDEN = {
    ("bitnet", "assistant"): [
        ("<|begin_of_text|>System: 너는 사서다.<|eot_id|>\nUser: 책은?<|eot_id|>\nAssistant:", 0),
        (" 내일까지 반납하세요.<|eot_id|>", 1),
        ("\nUser: 왜?<|eot_id|>\nAssistant:", 0),
        (" 다음 사람이 기다립니다.<|eot_id|>", 1),
    ],
    ("bitnet", "last"): [
        (
            "<|begin_of_text|>System: 너는 사서다.<|eot_id|>\nUser: 책은?<|eot_id|>\nAssistant: 내일까지 반납하세요.<|eot_id|>"
            "\nUser: 왜?<|eot_id|>\nAssistant:",
            0,
        ),
        (" 다음 사람이 기다립니다.<|eot_id|>", 1),
    ],
    ("bitnet", "all"): [
        ("<|begin_of_text|>System:", 0),
        (" 너는 사서다.<|eot_id|>", 1),
        ("\nUser:", 0),
        (" 책은?<|eot_id|>", 1),
        ("\nAssistant:", 0),
        (" 내일까지 반납하세요.<|eot_id|>", 1),
        ("\nUser:", 0),
        (" 왜?<|eot_id|>", 1),
        ("\nAssistant:", 0),
        (" 다음 사람이 기다립니다.<|eot_id|>", 1),
    ],
    ("instruction", "assistant"): [
        (
            "<|begin_of_text|>### System:\n너는 사서다.<|eot_id|>\n\n### Instruction:\n책은?<|eot_id|>\n\n### Response:\n",
            0,
        ),
        ("내일까지 반납하세요.<|eot_id|>", 1),
        ("\n\n### Instruction:\n왜?<|eot_id|>\n\n### Response:\n", 0),
        ("다음 사람이 기다립니다.<|eot_id|>", 1),
    ],
    ("inst", "assistant"): [
        ("<|begin_of_text|>[INST] <<SYS>> 너는 사서다. <</SYS>> 책은? [/INST]", 0),
        (" 내일까지 반납하세요.<|eot_id|>", 1),
        ("[INST] 왜? [/INST]", 0),
        (" 다음 사람이 기다립니다.<|eot_id|>", 1),
    ],
    ("chatml", "assistant"): [
        (
            "<|im_start|>system\n너는 사서다.<|im_end|>\n<|im_start|>user\n책은?<|im_end|>\n<|im_start|>assistant\n",
            0,
        ),
        ("내일까지 반납하세요.<|im_end|>", 1),
        ("\n<|im_start|>user\n왜?<|im_end|>\n<|im_start|>assistant\n", 0),
        ("다음 사람이 기다립니다.<|im_end|>", 1),
        ("\n", 0),
    ],
}


def stretches(tok, ids, mask):
    out = []
    for i, m in zip(ids, mask, strict=True):
        if out and out[-1][1] == m:
            out[-1][0].append(i)
        else:
            out.append([[i], m])
    return [(tok.decode(part), m) for part, m in out]


@pytest.mark.parametrize("case", GOLDEN, ids=str)
def test_golden_masks(tok, case):
    assert stretches(tok, *render(tok, [SYSTEM, ASK, ANSWER, AGAIN, LAST], *case)) == GOLDEN[case]


def test_a_message_marked_train_false_is_shown_and_not_learned(tok):
    ids, mask = render(tok, [ASK, {**ANSWER, "train": False}, AGAIN, LAST])
    assert (
        stretches(tok, ids, mask)[-1] == (" 다음 사람이 기다립니다.<|eot_id|>", 1)
        and len(stretches(tok, ids, mask)) == 2
    )
    assert sum(render(tok, [ASK, {**ANSWER, "train": False}])[1]) == 0
    assert render(tok, [ASK, {**ANSWER, "train": None}]) == render(tok, [ASK, ANSWER])


# Texts whose edges are no white space, without control strings.
inner = st.text(st.sampled_from("가나한국어를 는다. 책?!()\"'\n\t12aB👍🏽ᄒᆞᆫ:#[]<>|/"), max_size=12)
solid = st.sampled_from(list("가나다책.?!()\"'1aB👍:#[]<>/"))
content = st.one_of(solid, st.tuples(solid, inner, solid).map("".join)).filter(
    lambda t: not any(c in t for c in CONTROL)
)


@st.composite
def conversations(draw, text=content):
    turns = [{"role": "system", "content": draw(text)}] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(1, 3))):
        turns.append({"role": "user", "content": draw(text)})
        turns.append({"role": "assistant", "content": draw(text)})
        if (train := draw(st.sampled_from([..., ..., True, False, None]))) is not ...:
            turns[-1]["train"] = train  # null is the same as not given
    return turns


@pytest.fixture(scope="module")
def stock(tok_folder):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tok_folder)


def by_stock(stock, messages, template, **more):
    return stock.apply_chat_template(
        messages, chat_template=TEMPLATES[template].jinja, return_dict=True, **more
    )


@pytest.mark.parametrize("template", TEMPLATES)
@settings(max_examples=120)
@given(messages=conversations())
def test_jinja_twin_gives_the_same_ids_and_mask(tok, stock, template, messages):
    theirs = by_stock(stock, messages, template, return_assistant_tokens_mask=True)
    ids, mask = render(tok, messages, template)
    assert ids == list(theirs["input_ids"])
    assert mask == list(theirs["assistant_masks"])
    prompt = by_stock(stock, messages[:-1], template, add_generation_prompt=True)
    assert prompt_ids(tok, messages[:-1], template) == list(prompt["input_ids"])


@settings(max_examples=80)
@given(messages=conversations(st.text(st.sampled_from("가다 \n\t."), max_size=6)))
def test_bitnet_twin_agrees_on_empty_turns_and_edge_spaces_too(tok, stock, messages):
    theirs = by_stock(stock, messages, "bitnet", return_assistant_tokens_mask=True)
    assert render(tok, messages) == (list(theirs["input_ids"]), list(theirs["assistant_masks"]))


def test_saved_template_is_the_twin(stock):
    assert stock.chat_template == TEMPLATES["bitnet"].jinja


wild = conversations(
    st.one_of(st.sampled_from(CONTROL), st.text(max_size=8).filter(lambda t: t.isascii() or t.isprintable()))
)


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("train", ["assistant", "last", "all"])
@settings(max_examples=40)
@given(messages=wild)
def test_properties(tok, template, train, messages):
    ids, mask = render(tok, messages, template, train)
    assert len(ids) == len(mask) and set(mask) <= {0, 1}
    prompt = prompt_ids(tok, messages[:-1], template)
    assert ids[: len(prompt)] == prompt  # the generation prompt is a prefix of the training ids
    if train != "all":
        assert not any(mask[: len(prompt)]) or train == "assistant"
    end = tok.control["<|im_end|>" if template == "chatml" else "<|eot_id|>"]
    learned = {
        "assistant": [m for m in messages if m["role"] == "assistant"],
        "last": messages[-1:],
        "all": messages,
    }[train]
    learned = [m for m in learned if m.get("train") is not False]
    closing = [m for m in learned if template != "inst" or m["role"] == "assistant"]
    # Every learned turn's end is learned, and typed control strings never become control ids.
    assert sum(i == end and m == 1 for i, m in zip(ids, mask, strict=True)) == len(closing)
    lead = " " if template in ("bitnet", "inst") else ""
    want = "".join(lead + m["content"] + (tok.token(end).decode() if m in closing else "") for m in learned)
    assert tok.decode([i for i, m in zip(ids, mask, strict=True) if m]) == want
    controls = sum(i in set(tok.control.values()) for i in ids)
    expected = {
        "bitnet": 1 + len(messages),
        "instruction": 1 + len(messages),
        "chatml": 2 * len(messages),
        "inst": 1 + sum(m["role"] == "assistant" for m in messages),
    }[template]
    assert controls == expected


@given(st.lists(conversations(), max_size=5))
def test_many_at_once_are_the_single_ones(tok, several):
    assert render_many(tok, several) == [render(tok, messages) for messages in several]


def test_roles_and_content_are_checked(tok):
    for bad in (
        {"role": "tool", "content": "x"},
        {"role": None, "content": "x"},
        {"role": "user", "content": None},
        {"role": "user", "content": [{"type": "text", "text": "x"}]},
    ):
        with pytest.raises(UserError, match=r"messages\[1\]"):
            render(tok, [ASK, bad])


def fitted(tok, messages, max_tokens, truncate, train="assistant"):
    (one,), cut = fit(
        tok,
        [messages],
        [render(tok, messages, "bitnet", train)],
        max_tokens=max_tokens,
        truncate=truncate,
        train=train,
    )
    return *one, cut


def test_truncation(tok):
    chat = [SYSTEM, ASK, ANSWER, AGAIN, LAST]
    ids, mask = render(tok, chat)
    assert fitted(tok, chat, None, "refuse") == (ids, mask, False)
    assert fitted(tok, chat, len(ids), "refuse") == (ids, mask, False)
    with pytest.raises(NothingToLearn, match="too long"):
        fitted(tok, chat, len(ids) - 1, "refuse")
    short, learned, cut = fitted(tok, chat, len(ids) - 1, "oldest")
    assert cut and (short, learned) == render(tok, [SYSTEM, AGAIN, LAST])
    assert fitted(tok, chat, len(ids) - 3, "left") == (ids[:1] + ids[4:], mask[:1] + mask[4:], True)
    short, learned, cut = fitted(tok, chat, len(ids) - 3, "right")
    assert cut and (short, learned) == (ids[: len(short)], mask[: len(short)]) and len(ids) - 6 < len(short)
    with pytest.raises(NothingToLearn, match="truncated away"):
        fitted(tok, [ASK, ANSWER], 8, "right")
    with pytest.raises(NothingToLearn, match="last exchange"):
        fitted(tok, chat, 10, "oldest")
    with pytest.raises(NothingToLearn, match="nothing to learn"):
        fitted(tok, [ASK, {**ANSWER, "train": False}], None, "refuse")


def test_a_pair_whose_answers_differ_only_where_they_are_cut_is_refused(tok):
    pair = [[ASK, {**ANSWER, "content": ANSWER["content"] * 5 + end}] for end in ("네", "아니요")]
    rendered = render_many(tok, pair)
    shared = next(i for i, (a, b) in enumerate(zip(rendered[0][0], rendered[1][0], strict=False)) if a != b)
    with pytest.raises(NothingToLearn, match="are the same"):
        fit(tok, pair, rendered, max_tokens=shared - 2, truncate="right")
    out, cut = fit(tok, pair, rendered, max_tokens=shared + 1, truncate="right")
    assert cut and len(out) == 2


@settings(max_examples=100)
@given(conversations(), st.integers(8, 60), st.sampled_from(["refuse", "oldest", "left", "right"]))
def test_truncated_examples_always_learn_something(tok, messages, max_tokens, truncate):
    try:
        ids, mask, _ = fitted(tok, messages, max_tokens, truncate)
    except NothingToLearn:
        return
    assert len(ids) <= max_tokens and any(mask) and len(ids) == len(mask)
    assert ids[0] == tok.bos_id
    tok.decode_bytes(ids).decode()  # no character is cut through


short = st.text(st.sampled_from("가뷁나👍 b"), min_size=1, max_size=12)


@pytest.mark.parametrize("template", TEMPLATES)
@settings(max_examples=100)
@given(conversations(short), short, short, st.integers(8, 60))
def test_a_pair_cut_on_the_left_keeps_one_prompt_and_whole_answers(
    tok, template, messages, one, other, max_tokens
):
    prompt = [Turn(m["role"], m["content"], False) for m in messages[:-1]]
    both = [[*prompt, Turn("assistant", answer)] for answer in (one, other)]
    whole = render_many(tok, both, template)
    try:
        cut, was_cut = fit(tok, both, whole, max_tokens=max_tokens, truncate="left", template=template)
    except NothingToLearn:
        return
    assert was_cut == any(len(ids) > max_tokens for ids, _ in whole)
    asked = []
    for (ids, mask), (all_ids, all_mask) in zip(cut, whole, strict=True):
        assert len(ids) <= max_tokens and sum(mask) == sum(all_mask)
        asked.append(ids[: mask.index(1)])
        assert ids[mask.index(1) :] == all_ids[all_mask.index(1) :]
        assert template == "chatml" or ids[0] == tok.bos_id
        tok.decode_bytes(ids).decode()
    assert asked[0] == asked[1]


def test_a_pair_whose_answer_alone_is_too_long_is_refused(tok):
    both = [[Turn("user", "가?", False), Turn("assistant", answer)] for answer in ("뷁" * 20, "나")]
    with pytest.raises(NothingToLearn, match="answer alone") as refused:
        fit(tok, both, render_many(tok, both), max_tokens=20, truncate="left")
    assert refused.value.reason == "truncated_away"


def test_real_chats_and_pairs(tok, stock, real_data):
    from itertools import islice

    from kotok.records import read_examples

    chats = [
        c for _, c in islice(read_examples(next((real_data / "instruct").glob("*.jsonl*")), "chat"), 300)
    ]
    for chat in chats:
        messages = [{"role": m.role, "content": m.content} for m in chat.messages]
        theirs = by_stock(stock, messages, "bitnet", return_assistant_tokens_mask=True)
        assert render(tok, chat.messages) == (list(theirs["input_ids"]), list(theirs["assistant_masks"]))


# --- templates of users ------------------------------------------------------------------------------------------------

KOREAN = (
    "{%- for m in messages %}{%- if m['role'] == 'assistant' %}{{- '답: ' }}{% generation %}{{- m['content'] | trim + '<|eot_id|>' }}"
    "{%- endgeneration %}{%- elif m['role'] == 'user' %}{{- '물음: ' + m['content'] + '<|reserved_0|>' }}"
    "{%- else %}{{- bos_token + '지시: ' + m['content'] + '\n' }}{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '답: ' }}{% endif %}"
)


def test_a_template_of_your_own(tok):
    spec = custom_template(KOREAN, tok)
    ids, mask = render(tok, [SYSTEM, ASK, ANSWER, AGAIN, LAST], spec)
    assert stretches(tok, ids, mask) == [
        ("<|begin_of_text|>지시: 너는 사서다.\n물음: 책은?<|reserved_0|>답: ", 0),
        ("내일까지 반납하세요.<|eot_id|>", 1),
        ("물음: 왜?<|reserved_0|>답: ", 0),
        ("다음 사람이 기다립니다.<|eot_id|>", 1),
    ]
    last = render(tok, [ASK, ANSWER, AGAIN, LAST], spec, "last")[1]
    shown = render(tok, [ASK, {**ANSWER, "train": False}, AGAIN, LAST], spec)[1]
    assert last == shown and 0 < sum(last) < sum(mask)
    assert template_name(spec).startswith("custom-") and template_name(
        custom_template(KOREAN, tok)
    ) == template_name(spec)
    with pytest.raises(UserError, match="only answers"):
        render(tok, [ASK, ANSWER], spec, "all")


@settings(max_examples=80)
@given(messages=conversations())
def test_a_users_template_renders_as_transformers_does(tok, stock, messages):
    theirs = stock.apply_chat_template(messages, chat_template=KOREAN, tokenize=False)
    spec = custom_template(KOREAN, tok)
    ids, mask = render(tok, messages, spec)
    assert tok.decode(ids) == theirs
    answers = [
        m["content"].strip() + "<|eot_id|>"
        for m in messages
        if m["role"] == "assistant" and m.get("train") is not False
    ]
    assert "".join(text for text, m in stretches(tok, ids, mask) if m) == "".join(answers)
    prompt = prompt_ids(tok, messages[:-1], spec)
    assert ids[: len(prompt)] == prompt


@settings(max_examples=80)
@given(messages=wild)
def test_typed_control_strings_stay_text_in_a_users_template(tok, messages):
    ids, mask = render(tok, messages, custom_template(KOREAN, tok))
    controls = set(tok.control.values())
    kinds = {"system": 1, "user": 1, "assistant": 1}
    assert sum(i in controls for i in ids) == sum(kinds[m["role"]] for m in messages)
    end = tok.control["<|eot_id|>"]
    assert all(m == 0 for i, m in zip(ids, mask, strict=True) if i in controls and i != end)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{% for m in messages %}{{ m.content }}{% endfor %}", "no {% generation %}"),
        ("{% generation %}{% for %}{% endgeneration %}", "cannot parse"),
        ("{% generation %}{{ messages[0].content }}{% endgeneration %}" * 2, "2 times for 1 answers"),
        ("{% generation %}{{ raise_exception('역할') }}{% endgeneration %}", "refuses this chat"),
        ("{% generation %}{{ messages.__class__.__mro__ }}{% endgeneration %}", "refuses this chat"),
    ],
)
def test_templates_that_are_refused(tok, text, why):
    with pytest.raises(UserError, match=why.replace("{", r"\{")):
        render(tok, [ASK, ANSWER], custom_template(text, tok))


def test_a_template_file_goes_through_encode_and_inspect(tok_folder, tmp_path):
    from kotok import load
    from kotok.chat import template_of
    from kotok.encode import EncodeConfig, encode
    from kotok.inspect import inspect
    from kotok.shards import open_shards

    (tmp_path / "틀.jinja").write_text(KOREAN, encoding="utf-8")
    chats = tmp_path / "chat.jsonl"
    chats.write_text('{"id": "1", "prompt": "책은?", "response": "내일까지요."}\n', encoding="utf-8")
    config = EncodeConfig(val=0, template=str(tmp_path / "틀.jinja"))
    encode([str(chats)], tok=tok_folder, output=tmp_path / "shards", config=config)
    shards, saved = open_shards(tmp_path / "shards"), load(tmp_path / "shards" / "tokenizer")
    spec = template_of(saved)
    assert saved.config["chat_template"] == KOREAN and shards.meta["template"] == template_name(spec)
    assert shards.tokens(0).tolist() == render(saved, [ASK, {**ANSWER, "content": "내일까지요."}], spec)[0]
    again = EncodeConfig(val=0, template=str(tmp_path / "틀.jinja"))
    assert (
        "already done"
        in encode([str(chats)], tok=tok_folder, output=tmp_path / "shards", config=again).lines[-1]
    )
    (tmp_path / "틀.jinja").write_text(KOREAN.replace("물음", "질문"), encoding="utf-8")
    with pytest.raises(UserError, match="template"):
        encode(
            [str(chats)],
            tok=tok_folder,
            output=tmp_path / "shards",
            config=EncodeConfig(val=0, template=str(tmp_path / "틀.jinja")),
        )
    lines = inspect(tmp_path / "shards" / "tokenizer", str(chats)).lines
    assert "물음: 책은?<|reserved_0|>답: ⟦내일까지요.<|eot_id|>⟧" in lines
    with pytest.raises(UserError, match="unknown chat template"):
        encode([str(chats)], tok=tok_folder, output=tmp_path / "x", config=EncodeConfig(template="llama9"))


@settings(max_examples=60)
@given(conversations(), st.sampled_from(sorted(TEMPLATES)))
def test_every_stretch_is_encoded_by_itself(tok, messages, template):
    """Segment-wise: the ids are those of the pieces one after another, so no merge crosses a role boundary."""
    turns = [Turn(m["role"], m["content"]) for m in messages]
    pieces = TEMPLATES[template].pieces(turns, False)
    alone = [[tok.control[p.text]] if p.control else tok.encode(p.text) for p in pieces]
    assert render(tok, messages, template)[0] == [i for part in alone for i in part]


def rows_of(flat):
    ends = flat.ends.tolist()
    return (
        [
            (flat.ids[a:b].tolist(), flat.mask[a:b].tolist())
            for a, b in zip([0, *ends[:-1]], ends, strict=True)
        ]
        if ends
        else []
    )


@settings(max_examples=80)
@given(
    st.lists(conversations(), max_size=6),
    st.sampled_from([*sorted(TEMPLATES), "own"]),
    st.sampled_from(["assistant", "last", "all"]),
)
def test_many_at_once_by_arrays_are_the_single_ones(tok, several, template, train):
    if template == "own":
        template, train = custom_template(KOREAN, tok), "last" if train == "all" else train
    expected = [render(tok, messages, template, train) for messages in several]
    assert rows_of(render_flat(tok, several, template, train)) == expected
    turns = [
        [Turn(m["role"], m["content"], m.get("train") is not False) for m in messages] for messages in several
    ]
    assert rows_of(render_flat(tok, turns, template, train)) == expected


def test_arrays_refuse_what_one_by_one_refuses(tok):
    for bad in ({"role": "tool", "content": "x"}, {"role": "user", "content": None}):
        with pytest.raises(UserError, match=r"messages\[1\]"):
            render_flat(tok, [[ASK, ANSWER], [ASK, bad]])
    with pytest.raises(UserError, match=r"messages\[0\]\.content"):
        render_flat(tok, [[Turn("user", 3)]])


@pytest.mark.parametrize(
    ("head", "word"),
    [
        ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "loop steps"),
        ("{% macro f(n) %}{{ f(n) }}{{ f(n) }}{% endmacro %}{{ f(1) }}", "refuses"),
        ("{{ 'a' * 10**11 }}", "too large"), ("{{ (9**9)**(9**9) }}", "too large"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "unsafe"),
        ("{% include 'x' %}", "refuses"), ("{{ messages[0].content.strip(1, 2, 3) }}", "refuses"),
        ("{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}", "cannot parse"),
        ("{% for a in b %}" * 30 + "{% endfor %}" * 30, "cannot parse"),
    ],
)  # fmt: skip
def test_a_template_that_means_harm_ends_with_an_error(tok, head, word):
    with pytest.raises(UserError, match=word):
        render(tok, [ASK, ANSWER], custom_template(head + KOREAN, tok))


def test_counted_loops_know_their_length(tok):
    text = (
        "{% for m in messages %}{{ loop.index ~ '/' ~ loop.length ~ (' 끝' if loop.last else '') ~ ': ' }}"
        "{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}{% else %}{{ m.content }}{% endif %}"
        "{% endfor %}"
    )
    ids, _ = render(tok, [ASK, ANSWER], custom_template(text, tok))
    assert tok.decode(ids) == "1/2: 책은?2/2 끝: 내일까지 반납하세요."
