"""The native trainer and encoder against the plain loops that define them."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kotok import bpe
from kotok.pattern import MAX_DIGITS, REGEX, pre_tokenize, training_words

native = pytest.importorskip("kotok._native")

words = st.dictionaries(
    st.one_of(
        st.text("ab", min_size=1, max_size=14).map(str.encode),
        st.text("가나각 a", min_size=1, max_size=6).map(str.encode),
        st.binary(min_size=1, max_size=6),
    ),
    st.integers(1, 9),
    min_size=1,
    max_size=14,
)


def pack(counted):
    return bpe.pack_words(list(counted), list(counted.values()))


@settings(max_examples=400, deadline=None)
@given(words, st.integers(257, 300), st.integers(1, 3), st.booleans())
def test_same_merges_as_the_reference(counted, tokens, min_count, whole):
    ours = bpe.train_merges(pack(counted), tokens, min_count=min_count, whole_chars=whole)
    assert ours == bpe.reference_train(counted, tokens, min_count, whole_chars=whole)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text("가나각é😀 a", min_size=1, max_size=6), min_size=1, max_size=9))
def test_whole_chars_never_mixes_pieces_of_characters(texts):
    counted = Counter(t.encode() for t in texts)
    for token in bpe.token_strings(bpe.train_merges(pack(counted), 300, min_count=1, whole_chars=True))[256:]:
        try:
            token.decode()
        except UnicodeDecodeError:
            assert len(token) < 4 and all(b & 0xC0 == 0x80 for b in token[1:])


@settings(max_examples=300, deadline=None)
@given(words, words, st.integers(0, 20), st.integers(1, 20))
def test_same_merges_when_going_on_from_other_words(first, second, before, more):
    base = bpe.reference_train(first, 256 + before, 1)
    tokens = len(bpe.token_strings(base)) + more
    assert bpe.train_merges(pack(second), tokens, min_count=1, base=base) == bpe.reference_train(
        second, tokens, 1, base
    )


@settings(max_examples=100, deadline=None)
@given(words, st.randoms(use_true_random=False))
def test_order_of_words_does_not_matter(counted, random):
    items = [(w, 1) for w, c in counted.items() for _ in range(c)]
    random.shuffle(items)
    shuffled = bpe.pack_words([w for w, _ in items], [1] * len(items))
    assert bpe.train_merges(shuffled, 290, min_count=1) == bpe.train_merges(pack(counted), 290, min_count=1)


@settings(max_examples=300, deadline=None)
@given(words, words, st.integers(0, 40), st.sampled_from([b"", b"x" * 200]))
def test_encoder_applies_merges_like_the_reference(first, second, n, tail):
    """Short words and, with the tail, words long enough for the heap."""
    merges = bpe.reference_train(first, 256 + n, 1)
    for word in second:
        text = (word + tail).decode("utf-8", "ignore")
        ids, ends = native.Encoder(bpe.flat_merges(merges), 3).encode([text], 1)
        want = [i for piece in pre_tokenize(text) for i in bpe.reference_encode_word(piece.encode(), merges)]
        assert ids.tolist() == want and ends.tolist() == [len(want)]


def test_threads_and_batches_change_nothing():
    merges = bpe.reference_train(Counter(training_words("한국어를 한국어로 한국의 나라 나라 " * 3)), 290, 1)
    texts = [f"한국어를 {i} 나라 {'가나다라 ' * (i % 50)}" for i in range(3000)] + [""]
    encoder = native.Encoder(bpe.flat_merges(merges), 3)
    one, two = encoder.encode(texts, 1), encoder.encode(texts, 2)
    assert (one[0] == two[0]).all() and (one[1] == two[1]).all()
    single = [encoder.encode([t], 1)[0].tolist() for t in texts[:20]]
    starts = [0, *one[1][:19].tolist()]
    assert single == [one[0][a:b].tolist() for a, b in zip(starts, one[1][:20].tolist(), strict=True)]


def test_bad_merges_are_refused():
    for flat in ([1, 2], [300, 1, 256], [1, 2, 257], [1, 2, 3]):
        with pytest.raises(ValueError):
            native.Encoder(np.array(flat, dtype=np.uint32), 3)


# ---------------------------------------------------------------------------------------------------------------------
# Pre-tokens


def scan(text, pattern):
    ends = native.pretoken_ends(text, MAX_DIGITS[pattern]).tolist()
    data = text.encode()
    return [data[a:b].decode() for a, b in zip([0, *ends[:-1]], ends, strict=True)] if ends else []


tricky = st.text(
    st.one_of(
        st.sampled_from(
            list(
                "가각힣ㄱㅎ한국 aZsStTrReEvVmMlLdD'09!.\"“”()\r\n\t\u3000\u00a0\u0085\u2028ᄒᆞᆫ́ſＡ１²Ⅷ漢👨‍👩\x00\x1f"
            )
        ),
        st.characters(exclude_categories=["Cs"]),
    ),
    max_size=40,
)


@pytest.mark.parametrize("pattern", list(REGEX))
@settings(max_examples=1500, deadline=None)
@given(text=tricky)
def test_scanner_equals_the_regex(pattern, text):
    assert scan(text, pattern) == pre_tokenize(text, pattern)


def test_every_code_point_has_the_class_that_tokenizers_gives_it():
    """Fails when the installed `tokenizers` has other Unicode tables than csrc/unicode_classes.h was read from."""
    from tokenizers import Regex, pre_tokenizers

    text = "".join(chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000)
    classes = native.code_classes()
    for regex, numbers in ((r"\p{L}", [1]), (r"\p{N}", [2]), (r"\s", [3, 4]), (r"[\r\n]", [4])):
        split = pre_tokenizers.Split(Regex(regex), "removed", invert=True)
        theirs = {ord(c) for piece, _ in split.pre_tokenize_str(text) for c in piece}
        assert set(np.flatnonzero(np.isin(classes, numbers)).tolist()) == theirs


def test_scanner_equals_the_regex_on_real_text(real_data):
    from kodata.doc import Corpus

    for file in (
        "corpus/law/statutes_a.jsonl.gz",
        "corpus/dialogue/nsmc_raw.jsonl.gz",
        "corpus/web/vue_docs_ko.jsonl.gz",
    ):
        for document in Corpus(real_data / file).head(60):
            assert scan(document.text, "llama-bpe") == pre_tokenize(document.text, "llama-bpe")


@settings(max_examples=50, deadline=None)
@given(st.lists(tricky, max_size=5), st.sampled_from(["가" * 700, "a" * 2500, " " * 3000, "!" * 1001]))
def test_word_counts(texts, long):
    counter = native.WordCounter()
    texts = [*texts, long, texts[0] if texts else ""]
    counter.add_texts(texts, 3)
    counted = dict(bpe.unpack_words(counter.words()))
    assert counted == Counter(w for t in texts for w in training_words(t))
    twice = native.WordCounter()
    twice.add_words(*counter.words())
    twice.add_words(*counter.words())
    assert dict(bpe.unpack_words(twice.words())) == {w: 2 * c for w, c in counted.items()}


def test_lone_surrogate_is_refused():
    with pytest.raises(UnicodeEncodeError):
        native.WordCounter().add_texts(["\ud800"], 3)
