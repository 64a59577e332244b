"""`kotok extend`: old ids stay, Latin text encodes as before, stock transformers opens the result."""

import json
import subprocess
import sys
from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kodata.doc import Corpus
from kodata.run.errors import UsageError, UserError
from kotok import load
from kotok.extend import ExtendConfig, extend, read_mapping
from kotok.tokenizer import Tokenizer, build

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
ENGLISH = ["The old bridge was closed for repairs.", "she's reading 12345 pages\n\tdef f(x): return x"]


@pytest.fixture(scope="module", params=["llama", "qwen"])
def base(request, tmp_path_factory):
    """A foreign folder with few tokens, none of them Hangul: Llama 3's regex, bos and ignore_merges; or Qwen's NFC."""
    from kotok.bpe import reference_train

    words = {
        w.encode(): 5
        for text in ENGLISH
        for w in (" " + text).replace("\n", " ").split(" ")
        for w in (w, " " + w)
    }
    made = build(reference_train({w: c for w, c in words.items() if w}, 340), "qwen2")
    spec = deepcopy(made.spec)
    size = len(spec["model"]["vocab"])
    names = ["<|begin_of_text|>", "<|end_of_text|>", "<|im_end|>", "<|reserved_0|>"]
    spec["added_tokens"] = [
        {**spec["added_tokens"][0], "id": size + i, "content": name} for i, name in enumerate(names)
    ]
    config = {
        "tokenizer_class": "Qwen2Tokenizer",
        "bos_token": names[0],
        "eos_token": names[1],
        "chat_template": "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}<|im_end|>{% endfor %}",
        "clean_up_tokenization_spaces": False,
    }
    if request.param == "llama":
        spec["model"]["ignore_merges"] = True
        spec["model"]["merges"] = [" ".join(m) for m in spec["model"]["merges"]]
        spec["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = LLAMA3
        spec["post_processor"] = {
            "type": "TemplateProcessing",
            "single": [
                {"SpecialToken": {"id": names[0], "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
            ],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {names[0]: {"id": names[0], "ids": [size], "tokens": [names[0]]}},
        }
    else:
        spec["normalizer"] = {"type": "NFC"}
    folder = tmp_path_factory.mktemp(request.param) / "base"
    Tokenizer(spec, config).save(folder)
    (folder / "special_tokens_map.json").write_text('{"eos_token": "<|end_of_text|>"}')
    (folder / "vocab.json").write_text("{}")  # another form of the old vocabulary: must not come along
    return folder


@pytest.fixture(scope="module")
def longer(base, corpus, tmp_path_factory):
    output = tmp_path_factory.mktemp("extended") / "tok"
    result = extend(base, [str(corpus)], output=output, config=ExtendConfig(add=200, share=0.0, val=0.0))
    assert result.summary["vocab_size"] % 64 == 0 and result.summary["added"] >= 200
    return output


def test_old_text_is_as_before_and_korean_is_shorter(base, longer, corpus):
    old, new = load(base), load(longer)
    for text in [*ENGLISH, "naïve café – 東京 привет 👍", "\n\n  \t", "ꀀꂰ ힰ"]:
        assert new.encode(text) == old.encode(text)
        assert new.decode(new.encode(text)) == text
    texts = [d.text for d in Corpus(corpus)]
    before, after = (sum(map(len, t.encode_batch(texts))) for t in (old, new))
    assert after < 0.5 * before
    for text in texts[:50]:
        assert new.decode(new.encode(text)) == text
    assert new.control == old.control and new.config["chat_template"] == old.config["chat_template"]
    assert old.spec["post_processor"] == new.spec["post_processor"]


@given(st.text(st.sampled_from("hello 12'sS\nçé東京<|>ꀀяx."), max_size=30))
def test_text_without_hangul_never_changes(base, longer, text):
    assert load(longer).encode(text) == load(base).encode(text)


def test_new_ids_stand_for_their_old_pieces(base, longer):
    old, new = load(base), load(longer)
    mapping = read_mapping(longer)
    assert mapping["base_fingerprint"] == old.fingerprint and mapping["fingerprint"] == new.fingerprint
    assert sorted(mapping["pieces"]) == list(range(old.vocab_size, new.vocab_size))
    for i, pieces in mapping["pieces"].items():
        assert b"".join(map(old.token, pieces)) == new.token(i)
        text = new.token(i).decode("utf-8", "ignore")
        if text.encode() == new.token(i):
            assert pieces == old.encode(text)
    assert all(new.token(i) == old.token(i) for i in range(old.vocab_size))


def test_stock_transformers_opens_it(base, longer):
    from transformers import AutoTokenizer

    old, new, ours = AutoTokenizer.from_pretrained(base), AutoTokenizer.from_pretrained(longer), load(longer)
    assert len(new) == ours.vocab_size and not (longer / "vocab.json").exists()
    assert new.eos_token == "<|end_of_text|>" and new.eos_token_id == old.eos_token_id
    for text in ["오늘 아침에는 안개가 짙어서", *ENGLISH]:
        assert new(text, add_special_tokens=False)["input_ids"] == ours.encode(text)
    assert new("가<|im_end|>")["input_ids"][-1] == ours.control["<|im_end|>"]
    assert ours.control["<|im_end|>"] not in ours.encode("가<|im_end|>")
    chat = [{"role": "user", "content": "안녕"}]
    assert new.apply_chat_template(chat, tokenize=False) == old.apply_chat_template(chat, tokenize=False)


def test_ours_extended_with_morphemes(tok_folder, tok, corpus, tmp_path):
    """A tokenizer of ours, with Kiwi; the same twice, whatever the workers; a done run answers at once."""
    config = ExtendConfig(add=64, share=0.5, min_type_count=2, val=0.0)
    made = extend(tok_folder, [str(corpus)], output=tmp_path / "a", config=config, workers=1)
    assert made.summary["tokens_inside_morphemes"] == 32
    extend(tok_folder, [str(corpus)], output=tmp_path / "b", config=config, workers=2)
    for name in ("tokenizer.json", "extend.json", "tokenizer_config.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    again = extend(tok_folder, [str(corpus)], output=tmp_path / "a", config=config)
    assert again.summary == made.summary
    assert load(tmp_path / "a").vocab_size == tok.vocab_size + 64


def test_what_cannot_be_extended(corpus, tok_folder, tmp_path):
    (tmp_path / "latin.jsonl").write_text('{"id": "a", "text": "only latin"}\n')
    run = {"output": tmp_path / "x", "config": ExtendConfig(share=0.0, val=0.0)}
    with pytest.raises(UserError, match="no Hangul"):
        extend(tok_folder, [str(tmp_path / "latin.jsonl")], **run)
    with pytest.raises(UserError, match="too many tokens") as error:
        extend(tok_folder, [str(corpus)], **{**run, "output": tmp_path / "y"})
    most = int(error.value.help.split()[-1])
    fits = {"output": tmp_path / "z", "config": ExtendConfig(add=most, share=0.0, val=0.0)}
    assert extend(tok_folder, [str(corpus)], **fits).summary["added"] >= most
    from kotok.train import TrainConfig, train

    train([str(corpus)], output=tmp_path / "u", config=TrainConfig(vocab_size=512, algorithm="spm-unigram"))
    with pytest.raises(UserError, match="cannot be extended"):
        extend(tmp_path / "u", [str(corpus)], **{**run, "output": tmp_path / "w"})
    with pytest.raises(UsageError):
        ExtendConfig(add=0)
    bad = json.loads((tmp_path / "z/extend.json").read_text())
    bad["pieces"] = {k: [10**6] for k in bad["pieces"]}
    (tmp_path / "z/extend.json").write_text(json.dumps(bad))
    with pytest.raises(UserError, match="not understood"):
        read_mapping(tmp_path / "z")


def test_command_line(corpus, tok_folder, tmp_path):
    command = [
        sys.executable,
        "-m",
        "kotok",
        "extend",
        str(tok_folder),
        str(corpus),
        "-o",
        str(tmp_path / "e"),
    ]
    done = subprocess.run([*command, "--add", "64", "-t", "0"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == str(tmp_path / "e"), done.stderr
