"""`kotok eval` on every make of tokenizer, against people's morphemes, with intervals; damaged files are named."""

import base64
import io
import json

import numpy as np
import pytest

from kodata.run.errors import UserError
from kotok.conllu import morpheme_places, read_conllu
from kotok.evaluate import EvalConfig, evaluate
from kotok.foreign import open_any
from kotok.gguf import open_gguf, vocabulary_fields, write_vocabulary
from kotok.gguf_metadata import metadata_only, read_fields
from kotok.measure import FIELDS, RATES, bootstrap, encode_with_boundaries, interval, measure, rates
from kotok.vocabulary import suspicious, syllables_whole
from tests.kotok.conftest import SENTENCES

TREEBANK = """\
# sent_id = 1
# text = 할머니는 서울입니다.
1\t할머니는\t할머니+는\tNOUN\tncn+jxt\t_\t2\tnsubj\t_\t_
2\t서울입니다\t서울+이+ㅂ니다\tVERB\tnq+jp+ef\t_\t0\troot\t_\tSpaceAfter=No
3\t.\t.\tPUNCT\tsf\t_\t2\tpunct\t_\t_

# sent_id = 2
1-2\t했다니\t_\t_\t_\t_\t_\t_\t_\t_
1\t했다\t하+았+다\tVERB\t_\t_\t0\troot\t_\t_
2\t니\t니\tPART\t_\t_\t1\tdep\t_\t_
2.1\t없는\t없+는\tVERB\t_\t_\t_\t_\t_\t_
"""


def ranks_file(folder, tok):
    """The tokenizer `tok` as tiktoken ranks."""
    path = folder / "ours.tiktoken"
    lines = [base64.b64encode(tok.token(i)) + b" %d" % i for i in range(tok.vocab_size - len(tok.control))]
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def sentencepiece_file(folder):
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES * 20),
        model_writer=model,
        model_type="bpe",
        vocab_size=600,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    path = folder / "spm.model"
    path.write_bytes(model.getvalue())
    return path


def spm_gguf(path, model):
    """The vocabulary of a sentencepiece model as llama.cpp's converter writes it."""
    sp = open_any(model)._model
    n = sp.vocab_size()
    kinds = [
        2 if sp.is_unknown(i) else 3 if sp.is_control(i) else 6 if sp.is_byte(i) else 1 for i in range(n)
    ]
    fields = {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": [sp.id_to_piece(i) for i in range(n)],
        "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.scores": [sp.get_score(i) for i in range(n)],
    }
    path.write_bytes(metadata_only(fields))
    return path


def test_the_same_tokenizer_in_four_makes(tok, tok_folder, corpus, tmp_path):
    """Ranks (pattern told by name), GGUF and Hugging Face's reading of our own tokenizer measure the same."""
    ranks = ranks_file(tmp_path, tok).rename(tmp_path / "cl100k-like.tiktoken")
    write_vocabulary(tok, tmp_path / "v.gguf")
    result = evaluate(
        [f"ours={tok_folder}", f"ranks={ranks}", str(tmp_path / "v.gguf")],
        on=[str(corpus)],
        config=EvalConfig(kiwi_chars=0, times=50, curve=True),
    )
    ours, second, third = result.summary["tokenizers"].values()
    for other in (second, third):
        for key in (*RATES[:4], "syllables", "round_trip_failures"):
            assert ours[key] == other[key], key
    assert ours["fingerprint"] == third["fingerprint"] and ours["suspicious"]["unreachable"] == 0
    low, high = ours["intervals"]["chars_per_token"]
    assert low < ours["chars_per_token"] < high and second["chars_per_token_over_first"] == [1.0, 1.0, 1.0]
    assert third["boundary_precision_minus_first"][1:] == [None, None]  # Kiwi was not asked
    assert ours["curve"][-1] == (tok.vocab_size, pytest.approx(ours["chars_per_token"]))
    for group in ours["groups"].values():
        low, high = group["intervals"]["chars_per_token"]
        assert low < group["chars_per_token"] < high


def test_sentencepiece_offsets_and_gguf(tmp_path):
    model = sentencepiece_file(tmp_path)
    mine, gguf = open_any(model), open_any(spm_gguf(tmp_path / "s.gguf", model))
    text = "오늘은 👍 비가  온다."
    ids, edges, cut = encode_with_boundaries(mine, text)
    assert mine.decode(ids.tolist()) == text and edges[-1] == len(text)
    assert cut.tolist().count(text.index("👍")) == 1  # four bytes, one character
    for other in [*SENTENCES, text, "뷁\n둘째 줄"]:
        assert gguf.encode(other) == mine.encode(other)
    assert mine.kind == "sentencepiece" and mine.control == {"<unk>": 0, "<s>": 1, "</s>": 2}


def test_tekken(tok, tmp_path):
    n = tok.vocab_size - len(tok.control)
    from kotok.pattern import REGEX

    spec = {
        "config": {
            "pattern": REGEX["llama-bpe"],
            "default_vocab_size": n + 5,
            "default_num_special_tokens": 5,
        },
        "vocab": [{"rank": i, "token_bytes": base64.b64encode(tok.token(i)).decode()} for i in range(n)],
    }
    path = tmp_path / "tekken.json"
    path.write_text(json.dumps(spec))
    for text in SENTENCES:
        assert open_any(path).encode(text) == tok.encode(text)


def test_damaged_files_are_named(tok, tmp_path):
    ranks = ranks_file(tmp_path, tok)
    write_vocabulary(tok, tmp_path / "v.gguf")
    whole = (tmp_path / "v.gguf").read_bytes()
    broken = {
        "cut.gguf": whole[: len(whole) // 2],
        "long.gguf": whole[:24] + b"\xff" * 8 + whole[32:],
        "none.gguf": b"GGUF" + bytes(20),
        "no.tiktoken": ranks.read_bytes() + b"%%% 7\n",
        "few.tiktoken": b"\n".join(ranks.read_bytes().splitlines()[1:]),
        "noise.model": b"\x00\x01\x02 not a model",
        "tekken.json": b'{"vocab": [], "config": {}}',
    }
    for name, data in broken.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UserError) as error:
            open_any(tmp_path / name)
        assert error.value.help or error.value.file, name
    with pytest.raises(UserError, match="no tokenizer"):
        open_any(tmp_path / "nothing")


def test_gguf_fields_are_those_of_the_export(tok_folder, tok, tmp_path):
    """`gguf`'s own reader sees what we wrote; kobitnet's export writes the same fields for a model folder."""
    import gguf

    write_vocabulary(tok, tmp_path / "v.gguf")
    reader = gguf.GGUFReader(tmp_path / "v.gguf")
    assert reader.fields["tokenizer.ggml.pre"].contents() == "llama-bpe"
    assert reader.fields["tokenizer.ggml.tokens"].contents()[-16:] == list(tok.control)
    fields = read_fields(tmp_path / "v.gguf")
    from kobitnet.export.gguf_tokenizer import tokenizer_fields

    theirs = tokenizer_fields(tok_folder, tok.vocab_size)
    ours = vocabulary_fields(tok)
    assert {k: v for k, v in theirs.items() if k != "tokenizer.chat_template"} == ours
    assert all(fields[k] == v for k, v in ours.items())
    again = open_gguf(tmp_path / "v.gguf")
    assert again.fingerprint == tok.fingerprint and again.eot_id == tok.eot_id
    padded = vocabulary_fields(tok, tok.vocab_size + 3)
    assert padded["tokenizer.ggml.token_type"][-3:] == [5, 5, 5]
    with pytest.raises(UserError, match="tokenizer 704 > model 10"):
        vocabulary_fields(tok, 10)


def test_treebank_by_hand(tmp_path):
    (tmp_path / "t.conllu").write_text(TREEBANK)
    first, second = read_conllu(tmp_path / "t.conllu")
    assert first.text == "할머니는 서울입니다." and first.eojeols == 2 and first.unplaced == 0
    assert first.begins == [3, 7] and first.judged == [1, 2, 3, 6, 7, 8, 9]  # ㅂ니다 begins inside 입
    assert second.text == "했다니" and (second.eojeols, second.unplaced) == (
        1,
        1,
    )  # lemma "_" has no letters of it
    assert morpheme_places("갔다", "가+았+다") is None and morpheme_places("본", "보+ㄴ") == set()
    assert morpheme_places("먹었다", "먹+었+다") == {1, 2} and morpheme_places("C+", "+") is None


def test_boundaries_against_people(tok_folder, corpus, tmp_path):
    (tmp_path / "t.conllu").write_text(TREEBANK)
    result = evaluate(
        [str(tok_folder)],
        on=[str(corpus)],
        gold=[str(tmp_path / "t.conllu")],
        output=tmp_path / "e",
        config=EvalConfig(kiwi_chars=0, times=20),
    )
    human = result.summary["tokenizers"]["tok"]["human"]
    assert human["sentences"] == 2 and 0 <= human["boundary_recall"] <= 1
    assert human["eojeols_not_judged"] == pytest.approx(1 / 3)
    text = (tmp_path / "e/report.md").read_text()
    assert "사람이 나눈 형태소" in text and "tok" in text
    for bad in ("1\t한\t한\n", "1\t한국\t한국\tX\t_\t_\t0\t_\t_\t_\n# text = 다른 글\n", ""):
        (tmp_path / "bad.conllu").write_text(bad)
        with pytest.raises(UserError, match="CoNLL-U"):
            list(read_conllu(tmp_path / "bad.conllu"))
    (tmp_path / "bad.conllu").write_bytes("# text = 한국".encode("cp949"))
    with pytest.raises(UserError, match="UTF-8"):
        list(read_conllu(tmp_path / "bad.conllu"))


def test_rates_and_bootstrap_by_hand():
    row = np.zeros((3, len(FIELDS)))
    row[:, :4] = [[1, 10, 30, 5], [1, 20, 60, 5], [1, 30, 90, 10]]
    assert rates(row.sum(0, keepdims=True))[0, 0] == 3.0
    draws, doubled = bootstrap([row, row * 2], seed=1, times=400)
    assert draws.shape == (400, len(RATES)) and (draws[:, 0] == doubled[:, 0]).all()
    low, high = interval(draws[:, 0])
    assert 2.0 <= low < 3.0 < high <= 4.0  # single texts have 2, 4 and 3
    assert interval(draws[:, 4]) is None
    assert (bootstrap([row], 1, 50)[0] == bootstrap([row], 1, 50)[0])[:, 0].all()


def test_suspicious_tokens_by_hand(tok):
    from kotok.tokenizer import build

    merges, known = [], [bytes([b]) for b in range(256)]

    def join(left, right):
        merges.append((known.index(left), known.index(right), len(known)))
        known.append(left + right)

    for n in (1, 2, 4):
        join(b"z" * n, b"z" * n)
    join(b"\x01", b"a")
    join(b"a", b"\n")  # the pre-tokenizer always parts these
    for c in "가":
        a, b, d = (bytes([x]) for x in c.encode())
        join(a, b)
        join(a + b, d)
    made = build(merges, "llama-bpe")
    found = suspicious(made)
    assert [made.token(i) for i in found["run"]] == [b"z" * 8]
    assert b"a\n" in [made.token(i) for i in found["unreachable"]]
    assert [made.token(i) for i in found["control"]] == [b"\x01a"]
    assert syllables_whole(made) == 1 and len(found["part"]) == 128 + 1
    assert measure(made, [("x", "가")]).total.tokens == 1
    assert 0 < syllables_whole(tok) < 200 and not suspicious(tok)["double"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"tokenizer.ggml.pre": ["llama-bpe"]},
        {"tokenizer.ggml.merges": [1, 2]},
        {"tokenizer.ggml.merges": "a b"},
    ],
)
def test_gguf_fields_of_another_type_are_refused(wrong, tmp_path):
    from kodata.run.errors import UserError
    from kotok.gguf import from_fields, vocabulary_fields
    from kotok.tokenizer import build

    fields = vocabulary_fields(build([(0xEA, 0xB0, 256)], "llama-bpe"))
    assert from_fields(fields, tmp_path).vocab_size
    with pytest.raises(UserError, match=next(iter(wrong))):
        from_fields({**fields, **wrong}, tmp_path)
