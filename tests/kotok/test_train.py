"""`kotok train`: determinism, vocabulary limits, hold-out, the staged recipe, the other algorithms."""

import json
import subprocess
import sys

import numpy as np
import pytest

from kodata.doc import Corpus
from kodata.run.errors import UsageError, UserError
from kotok import bpe, load
from kotok.chat import render
from kotok.pattern import pre_tokenize
from kotok.staged import token_count
from kotok.template import TEMPLATES, header_texts
from kotok.tokenizer_json import CONTROL
from kotok.train import TrainConfig, header_merges, train
from tests.kotok.conftest import documents


def bbpe(inputs, output, vocab_size=640, **more):
    limits = {k: more.pop(k) for k in ("limit", "workers", "fresh", "dry_run") if k in more}
    return train(
        [str(i) for i in inputs],
        output=output,
        config=TrainConfig(vocab_size=vocab_size, algorithm="bbpe", **more),
        **limits,
    )


def test_order_sharding_and_workers_do_not_matter(corpus, tmp_path):
    bbpe([corpus], tmp_path / "a", workers=1)
    (tmp_path / "one.jsonl").write_text("".join(json.dumps(d) + "\n" for d in reversed(documents())))
    bbpe([tmp_path / "one.jsonl"], tmp_path / "b", workers=2)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "merges.vocab.txt"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_merges_are_the_reference_merges(corpus, tmp_path):
    from collections import Counter

    from kotok.pattern import training_words

    counted = Counter(w for d in Corpus(corpus) for w in training_words(d.text))
    headers = bpe.reference_train(dict.fromkeys(HEADERS, 1), 512, 1, whole_chars=True)
    softened = {w: round(c**0.7 * 100) for w, c in counted.items()}
    for power, counts, least in ((1.0, counted, 2), (0.7, softened, round(2**0.7 * 100))):
        bbpe([corpus], tmp_path / f"{power}", vocab_size=512, val=0.0, count_power=power)
        wanted = bpe.reference_train(counts, 512 - 16, least, headers, whole_chars=True)
        assert load(tmp_path / f"{power}").merges == wanted


HEADERS = [b"System", b":", b"\n", b"User", b"Assistant"]
"""Words the default chat template writes around messages."""


@pytest.mark.parametrize("template", TEMPLATES)
def test_each_header_word_is_one_token(corpus, tmp_path, template):
    """Also in a vocabulary that never saw one of them."""
    bbpe([corpus], tmp_path / "a", vocab_size=576, template=template, val=0.0)
    made = load(tmp_path / "a")
    headers = header_texts(template)
    assert headers and ("\nUser:" in headers) == (template == "bitnet")
    for text in headers:
        assert len(made.encode(text)) == len(pre_tokenize(text)), text
    talk = [{"role": "user", "content": "책은?"}, {"role": "assistant", "content": "있다."}]
    ids, _ = render(made, talk, template)
    content = sum(len(made.encode(" " + t["content"])) for t in talk)
    if template == "bitnet":  # begin, two headers of `User` `:` and `\n` `Assistant` `:`, two ends of turn
        assert len(ids) == content + 1 + 2 + 3 + 2


def test_held_out_documents_are_not_learned_from(corpus, tmp_path):
    from kotok.holdout import held_out

    result = bbpe([corpus], tmp_path / "a", val=0.2)
    kept = [d for d in documents() if not held_out(d["id"], 0.2)]
    assert 0 < len(kept) < 200 and result.summary["documents"] == len(kept)
    (tmp_path / "kept.jsonl").write_text("".join(json.dumps(d) + "\n" for d in kept))
    bbpe([tmp_path / "kept.jsonl"], tmp_path / "b", val=0.0)
    assert load(tmp_path / "a").merges == load(tmp_path / "b").merges


def test_vocabulary_rules(corpus, tmp_path):
    for size, near in ((1000, 1024), (703, 704), (100, 512)):
        with pytest.raises(UsageError) as error:
            TrainConfig(vocab_size=size)
        assert f"--vocab-size {near}" in error.value.help
    with pytest.raises(UserError, match="too large") as error:
        bbpe([corpus], tmp_path / "big", vocab_size=64_000)
    largest = int(error.value.help.split()[-1])
    assert load(bbpe([corpus], tmp_path / "fits", vocab_size=largest).path).vocab_size == largest
    with pytest.raises(UserError):
        bbpe([corpus], tmp_path / "more", vocab_size=largest + 64)


def test_empty_and_missing_input(tmp_path):
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "blank.jsonl").write_text('{"id": "a", "text": ""}\n')
    for name, match in (
        ("empty.jsonl", "no text"),
        ("blank.jsonl", "no text"),
        ("none.jsonl", "no such file"),
    ):
        with pytest.raises(UserError, match=match):
            bbpe([tmp_path / name], tmp_path / f"out of {name}")
    (tmp_path / "tiny.jsonl").write_text('{"id": "a", "text": "한 마디"}\n')
    with pytest.raises(UserError, match="too small"):
        bbpe([tmp_path / "tiny.jsonl"], tmp_path / "p", val=0.0)


def test_learns_from_chats_pairs_and_text_files(tmp_path):
    lines = [d["text"] for d in documents()]
    (tmp_path / "a.txt").write_text("\n".join(lines))
    (tmp_path / "c.jsonl").write_text(
        "".join(
            json.dumps(
                {
                    "id": str(i),
                    "messages": [{"role": "user", "content": t}, {"role": "assistant", "content": t}],
                }
            )
            + "\n"
            for i, t in enumerate(lines)
        )
    )
    (tmp_path / "p.jsonl").write_text(
        "".join(
            json.dumps(
                {
                    "id": str(i),
                    "prompt": [{"role": "user", "content": t}],
                    "chosen": [{"role": "assistant", "content": t}],
                    "rejected": [{"role": "assistant", "content": "아니요."}],
                }
            )
            + "\n"
            for i, t in enumerate(lines)
        )
    )
    for name in ("a.txt", "c.jsonl", "p.jsonl"):
        assert bbpe([tmp_path / name], tmp_path / name[0], val=0.0).summary["vocab_size"] == 640


def test_dry_run_limit_and_sample(corpus, tmp_path):
    plan = bbpe([corpus], tmp_path / "none", dry_run=True)
    assert not (tmp_path / "none").exists() and plan.summary["documents_tried"] > 100
    assert bbpe([corpus], tmp_path / "l", vocab_size=512, limit=50).summary["documents"] == 50
    assert 60 < bbpe([corpus], tmp_path / "s", vocab_size=512, sample=0.5, val=0.0).summary["documents"] < 140


def test_weights_by_source(corpus, tmp_path):
    """A weight of 2 is the corpus with that source twice; 0 is without it; a name that is none is refused."""
    docs = documents()
    twice = docs + [{**d, "id": d["id"] + "'"} for d in docs if d["source"] == "출처1"]
    (tmp_path / "twice.jsonl").write_text("".join(json.dumps(d) + "\n" for d in twice))
    bbpe([corpus], tmp_path / "a", weights={"출처1": 2.0}, val=0.0)
    bbpe([tmp_path / "twice.jsonl"], tmp_path / "b", val=0.0)
    assert load(tmp_path / "a").merges == load(tmp_path / "b").merges
    some = bbpe([corpus], tmp_path / "c", vocab_size=512, weights={"책": 0.0, "신문": 0.5}, val=0.0)
    assert 30 < some.summary["documents"] < 70
    with pytest.raises(UserError, match="no such source or kind") as error:
        bbpe([corpus], tmp_path / "d", weights={"없음": 2.0})
    assert "출처0" in error.value.help
    with pytest.raises(UsageError, match="between 0 and"):
        TrainConfig(weights={"책": -1.0})


def test_the_plan_states_sampling_and_memory(corpus, tmp_path):
    plan = bbpe([corpus], tmp_path / "none", sample=0.5, weights={"책": 2.0}, dry_run=True)
    text = "\n".join(plan.lines)
    assert "--sample 0.5" in text and "'책': 2.0" in text and "memory about" in text
    assert set(plan.summary["sources"]) == {"책", "신문"} and plan.summary["learned_bytes"] > 0


def test_an_interrupted_training_starts_again(corpus, tmp_path, monkeypatch, capsys):
    from kotok import staged

    whole = bbpe([corpus], tmp_path / "a")

    def stop(*args, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr(staged, "train_merges", stop)
    with pytest.raises(KeyboardInterrupt):
        bbpe([corpus], tmp_path / "b")
    assert json.loads((tmp_path / "b/manifest.json").read_text())["status"] == "interrupted"
    with pytest.raises(UserError, match="unfinished"):
        load(tmp_path / "b")
    monkeypatch.undo()
    capsys.readouterr()
    assert bbpe([corpus], tmp_path / "b").summary == whole.summary
    assert "restarts from the beginning" in capsys.readouterr().err
    assert (tmp_path / "a/tokenizer.json").read_bytes() == (tmp_path / "b/tokenizer.json").read_bytes()


def test_vocabulary_for_llama_cpp(corpus, tmp_path):
    from kotok.gguf import open_gguf

    bbpe([corpus], tmp_path / "a", gguf=True)
    assert open_gguf(tmp_path / "a/vocab.gguf").fingerprint == load(tmp_path / "a").fingerprint
    with pytest.raises(UsageError, match="byte-level BPE only"):
        TrainConfig(gguf=True, algorithm="spm-bpe")


def test_staged_learns_inside_morphemes_first(corpus, tmp_path, monkeypatch):
    """With Kiwi: the same twice, workers or not, and its first merges are merges of the cut words."""
    from functools import lru_cache

    from kotok import kiwi

    monkeypatch.setattr(kiwi, "load_kiwi", lru_cache(kiwi.load_kiwi))  # loading takes seconds
    config = TrainConfig(vocab_size=768, share=0.9, min_type_count=2)
    made = train([str(corpus)], output=tmp_path / "a", config=config, workers=1)
    headers = len({joined for *_, joined in header_merges(config)})
    assert made.summary["types_cut"] > 100 and made.summary["tokens_inside_morphemes"] == round(
        (768 - 16 - 256 - headers) * 0.9
    )
    train([str(corpus)], output=tmp_path / "b", config=config, workers=2)
    assert (tmp_path / "a/tokenizer.json").read_bytes() == (tmp_path / "b/tokenizer.json").read_bytes()
    plain = bbpe([corpus], tmp_path / "c", vocab_size=768)
    assert made.summary["chars_per_token"] > 0.9 * plain.summary["chars_per_token"]
    from kotok.kiwi import cut_words, load_kiwi

    pieces = list(
        cut_words(
            load_kiwi(1),
            [" 했습니다".encode(), "(도서관에서".encode(), " Python으로".encode(), " 책".encode()],
        )
    )
    assert [b"|".join(p).decode() for p in pieces] == [" 했|습니다", "(|도서관|에서", " Python|으로", " 책"]
    from kotok.evaluate import EvalConfig, evaluate

    told = evaluate(
        [str(tmp_path / "a"), str(tmp_path / "c")], on=[str(corpus)], config=EvalConfig(kiwi_chars=2000)
    )
    staged, flat = told.summary["tokenizers"]["a"], told.summary["tokenizers"]["c"]
    assert staged["boundary_precision"] > flat["boundary_precision"] + 0.1 > 0.4
    assert staged["round_trip_failures"] == flat["round_trip_failures"] == 0


def test_a_missing_kiwi_model_is_said_in_one_line(tmp_path, monkeypatch):
    import types

    from kotok.kiwi import load_kiwi

    gone = types.ModuleType("kiwipiepy_model")
    gone.get_model_path = lambda: str(tmp_path / "gone")
    monkeypatch.setitem(sys.modules, "kiwipiepy_model", gone)
    with pytest.raises(UserError, match="model is missing") as error:
        load_kiwi(1)
    assert "kiwipiepy_model" in error.value.help and "bbpe" in error.value.help


def test_softened_counts_follow_variety(corpus, tmp_path):
    """Exponent 1 is raw counts; below it a pair of many words wins over a pair of one repeated word."""
    from kotok.bpe import pack_words
    from kotok.staged import softened, train_staged

    counts = np.array([1, 2, 100, 10_000])
    assert softened(counts, 1.0) is counts and softened(counts, 0.5).tolist() == [100, 141, 1000, 10_000]
    words = pack_words([b"xy", b"aba", b"abc", b"abd"], [9, 3, 2, 2])

    def first(power):
        return train_staged(words, 257, share=0, min_type_count=1, kiwi=None, power=power).merges[0][:2]

    assert first(1.0) == tuple(b"xy") and first(0.5) == tuple(b"ab")
    raw, soft = (bbpe([corpus], tmp_path / f"{p}", count_power=p) for p in (1.0, 0.7))
    assert raw.summary["vocab_size"] == soft.summary["vocab_size"] == 640
    assert raw.summary["fingerprint"] != soft.summary["fingerprint"]
    with pytest.raises(UsageError, match="count-power"):
        TrainConfig(count_power=0.0)


def test_token_count_is_what_encoding_gives(corpus, tok):
    from kotok.words import WordCounts

    texts = [d.text for d in Corpus(corpus)]
    words = WordCounts("llama-bpe").add_all(texts).words()
    assert token_count(words, tok.merges, "llama-bpe") == sum(len(ids) for ids in tok.encode_batch(texts))


@pytest.mark.parametrize("algorithm", ["spm-bpe", "spm-unigram", "wordpiece"])
def test_other_algorithms(corpus, tmp_path, algorithm):
    from transformers import AutoTokenizer

    size = {"spm-bpe": 640, "spm-unigram": 512, "wordpiece": 704}[algorithm]
    train([str(corpus)], output=tmp_path / "a", config=TrainConfig(vocab_size=size, algorithm=algorithm))
    made, stock = load(tmp_path / "a"), AutoTokenizer.from_pretrained(tmp_path / "a")
    assert made.vocab_size == len(stock) == size
    texts = [d.text for d in Corpus(corpus)][:40] + [
        "  두 칸  \n\n\t👍 ᄒᆞᆫ글 zzq",
        " 앞",
        "뒤 ",
        "\n",
        "한국어 <|eot_id|>",
    ]
    for text in texts:
        ids = made.encode(text)
        assert not set(ids) & {made.control[name] for name in CONTROL}
        if "<|" not in text:
            assert stock(text, add_special_tokens=False)["input_ids"] == ids
        if algorithm != "wordpiece":  # lossy by its nature
            assert made.decode(ids) == text
    if algorithm != "wordpiece":
        import sentencepiece

        model = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "a/tokenizer.model"))
        same = [model.encode(t) == made.encode(t) for t in texts]
        assert sum(same) / len(same) > 0.95


def test_command_line(corpus, tmp_path):
    command = [
        sys.executable,
        "-m",
        "kotok",
        "train",
        str(corpus),
        "-o",
        str(tmp_path / "t"),
        "--vocab-size",
        "512",
        "--algorithm",
        "bbpe",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == str(tmp_path / "t"), done.stderr
    bad = subprocess.run([*command[:-3], "1000"], capture_output=True, text=True)
    assert bad.returncode == 2 and "1024" in bad.stderr and "Traceback" not in bad.stderr
    other = subprocess.run([*command[:-3], "576", *command[-2:]], capture_output=True, text=True)
    assert other.returncode == 1 and "vocab_size 512 → 576" in other.stderr
