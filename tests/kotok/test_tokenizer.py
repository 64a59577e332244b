"""The tokenizer folder: identity of decode and encode, equality with `tokenizers` and AutoTokenizer, control tokens."""

import json
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kodata.run.errors import UserError
from kotok import load
from kotok.tokenizer import Tokenizer, build, show
from kotok.tokenizer_json import CONTROL

TORTURE = [
    "",
    " ",
    "\n\n\n \t  \r\n",
    "나랏말ᄊᆞ미 듕귁에 달아 문ᄍᆞᆼ와로 서르 ᄉᆞᄆᆞᆺ디 아니ᄒᆞᆯᄊᆡ",
    "한국어",  # conjoining jamo (NFD)
    "ㄱㄴㄷ ㅏㅑㅓ ㅋㅋㅋㅋㅠㅠ",
    "👨‍👩‍👧‍👦 🏳️‍🌈 👍🏽 ❤️",
    "\x00\x01\x1f\x7f\x80\x9f\ufeff\u200b\u202e",
    "漢字와 한글, カタカナ, Ελληνικά, العربية",
    "\U0010ffff\ufffd\U0001d11e",
    "'S 'll I'M it's 'ſ don't",
    "12345678901234567890 ３０ Ⅷ ½",
    "▁▁ ▁한국",
    "".join(chr(c) for c in range(0xAC00, 0xD7A4)),
    "가" * 1_000_000,
    " " * 1_000_000 + "a",
    "한국어 " * 1_000_000,  # one line of 10 MB
]


@pytest.mark.parametrize("text", TORTURE, ids=range(len(TORTURE)))
def test_round_trip_of_torture(tok, text):
    ids = tok.encode(text)
    assert tok.decode(ids) == text
    assert max(ids, default=0) < tok.vocab_size - len(CONTROL)


anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
korean = st.text(
    st.sampled_from("가나다라마바사한국어를 는은이가 다.습니까요\n\t ㅋᄒᆞᆫ0123aB'👍🏽‍"), max_size=60
)


@settings(max_examples=400)
@given(st.one_of(anything, korean))
def test_round_trip_and_equality_with_tokenizers(tok, text):
    ids = tok.encode(text)
    assert tok.decode(ids) == text
    assert tok._hf.encode(text, add_special_tokens=False).ids == ids


def test_equality_with_tokenizers_on_long_texts(tok, corpus):
    from kodata.doc import Corpus

    for text in [d.text for d in Corpus(corpus)] + [t for t in TORTURE if len(t) < 20_000]:
        assert tok._hf.encode(text, add_special_tokens=False).ids == tok.encode(text)


@given(st.lists(korean, max_size=6), st.integers(1, 3))
def test_batches_are_the_single_texts(tok, texts, threads):
    assert tok.encode_batch(texts, threads) == [tok.encode(t) for t in texts]


@given(st.lists(st.one_of(st.sampled_from(CONTROL), korean), max_size=5).map("".join))
def test_typed_control_strings_stay_text(tok, text):
    ids = tok.encode(text)
    assert not set(ids) & set(tok.control.values())
    assert tok.decode(ids) == text


def test_stock_transformers_turns_typed_control_strings_into_control_ids(tok, tok_folder):
    """Not ours to change: documented, and the reason why kotok renders chats itself."""
    from transformers import AutoTokenizer

    stock = AutoTokenizer.from_pretrained(tok_folder)
    assert tok.end_of_turn_id in stock("a<|eot_id|>b", add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("with_model", [False, True])
def test_auto_tokenizer_opens_the_folder(tok, tmp_path, with_model):
    from transformers import AutoTokenizer

    tok.save(tmp_path)
    if with_model:  # as inside a checkpoint, where config.json could choose another class
        (tmp_path / "config.json").write_text(
            json.dumps({"model_type": "bitnet", "architectures": ["BitNetForCausalLM"]})
        )
    stock = AutoTokenizer.from_pretrained(tmp_path)
    assert len(stock) == tok.vocab_size == 704
    assert (stock.bos_token_id, stock.eos_token_id, stock.pad_token_id) == (
        tok.bos_id,
        tok.eot_id,
        tok.pad_id,
    )
    for text in TORTURE[:13] + ["편지를 세 번이나\n\n고쳐 쓰고도"]:
        ids = tok.encode(text)
        assert stock(text)["input_ids"] == ids
        assert stock.decode(ids) == text
    assert stock.decode([*tok.encode("끝"), tok.end_of_turn_id], skip_special_tokens=True) == "끝"


@pytest.mark.parametrize("text", ["\ud800", "한국\udc00어", "\ud83d a"])
def test_lone_surrogates_are_refused_by_place(tok, text):
    with pytest.raises(UserError, match="surrogate"):
        tok.encode(text)
    with pytest.raises(UserError, match="text 1"):
        tok.encode_batch(["좋다", text])


def test_save_and_load(tok, tmp_path):
    tok.save(tmp_path)
    again = load(tmp_path)
    assert (
        again.fingerprint == tok.fingerprint
        and again.merges == tok.merges
        and again.vocab_size == tok.vocab_size
    )
    first = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    again.save(tmp_path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == first
    only_json = load(tmp_path / "tokenizer.json")
    assert only_json.fingerprint == tok.fingerprint
    assert pickle.loads(pickle.dumps(tok)).encode("강변을 따라") == tok.encode("강변을 따라")


def test_fingerprint_follows_what_decides_ids(tok):
    same = Tokenizer(tok.spec, {**tok.config, "chat_template": "x"})
    assert same.fingerprint == tok.fingerprint
    added = [
        {**t, "content": "<|other|>"} if t["content"] == "<|pad|>" else t for t in tok.spec["added_tokens"]
    ]
    assert Tokenizer({**tok.spec, "added_tokens": added}, tok.config).fingerprint != tok.fingerprint


def test_token_bytes(tok):
    sizes = tok.token_bytes()
    assert sizes.dtype == np.int32 and sizes.shape == (704,)
    assert (sizes[list(tok.control.values())] == 0).all() and (sizes[:256] == 1).all()
    text = "한국어를 공부하는 사람들은 👍"
    assert sizes[tok.encode(text)].sum() == len(text.encode())


def test_every_token_is_whole_characters_or_the_beginning_of_one(tok):
    for i in range(256, tok.vocab_size - len(CONTROL)):
        token = tok.token(i)
        try:
            token.decode()
        except UnicodeDecodeError:
            assert len(token) < 4 and all(b & 0xC0 == 0x80 for b in token[1:])


def test_control_ids_are_the_last(tok):
    assert [tok.control[name] for name in CONTROL] == list(range(704 - 16, 704))
    assert (tok.bos_id, tok.eot_id, tok.end_of_turn_id, tok.pad_id) == (688, 689, 690, 691)


def test_human_readable_merges(tok, tok_folder):
    lines = (tok_folder / "merges.vocab.txt").read_text().splitlines()
    assert len(lines) == 1 + len(tok.merges) + len(CONTROL)
    left, right, joined = tok.merges[0]
    assert (
        lines[1]
        == f"0\t[{show(tok.token(left))}][{show(tok.token(right))}] -> [{show(tok.token(joined))}] {joined}"
    )
    assert show("가\n".encode() + b"\xea\xb0") == "가\\n<EA><B0>"


def test_without_native_code_the_ids_are_the_same(tok, monkeypatch):
    import kotok.tokenizer

    monkeypatch.setattr(kotok.tokenizer, "native", lambda: None)
    slow = Tokenizer(tok.spec, tok.config)
    for text in [*TORTURE[:13], *CONTROL, "안개가 짙어서 <|eot_id|> 강 건너편이"]:
        assert slow.encode(text) == tok.encode(text)
    with pytest.raises(UserError, match="surrogate"):
        slow.encode("\ud800")


def test_missing_and_broken_tokenizers(tmp_path):
    with pytest.raises(UserError, match="no tokenizer"):
        load(tmp_path)
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(UserError, match="unfinished"):
        load(tmp_path)
    for content in (
        "{",
        "[]",
        "{}",
        '{"model": {"type": "BPE"}}',
        '{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [["a"]]}}',
    ):
        (tmp_path / "tokenizer.json").write_text(content)
        with pytest.raises(UserError):
            load(tmp_path).encode("a")


def test_a_foreign_byte_level_tokenizer(tmp_path):
    """Llama and Qwen style: other byte ids, another regex, named tokens of its own."""
    from tokenizers import Tokenizer as Hf
    from tokenizers import decoders, models, pre_tokenizers, trainers

    made = Hf(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>", "<|im_end|>"],
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    made.train_from_iterator(["한국어를 공부하는 사람들 " * 20], trainer)
    made.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text('{"eos_token": "<|endoftext|>"}')
    tok = load(tmp_path)
    text = "한국어를 👍 <|endoftext|>"
    assert tok.decode(tok.encode(text)) == text and tok.merges is None
    assert not set(tok.encode(text)) & set(tok.control.values())
    assert (tok.eot_id, tok.end_of_turn_id, tok.pad_id) == (0, 1, 0)
    assert tok.token_bytes()[tok.encode(text)].sum() == len(text.encode())


def test_the_end_of_turn_follows_the_chat_template() -> None:
    from kotok.template import TEMPLATES

    tokenizer = build([], "llama-bpe")
    for name, spec in TEMPLATES.items():
        tokenizer.config["chat_template"] = spec.jinja
        closing = "<|im_end|>" if name == "chatml" else "<|eot_id|>"
        assert tokenizer.end_of_turn_id == tokenizer.control[closing], name
