"""Shingles, signatures, buckets, clusters and overlaps: the native core against the reference and plain sets."""

import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kodata.dedup import reference, shingles
from kodata.native import core

native = core()
needs_native = pytest.mark.skipif(native is None, reason="no native core in this build")

KOREAN = st.text(alphabet="가나다라마바사은는이가을를 학교도서관에서\n123abc", max_size=80)
ANY_TEXT = st.text(alphabet=st.characters(), max_size=60)
TEXTS = st.lists(st.one_of(KOREAN, ANY_TEXT), max_size=8)


def grams(text: str, n: int) -> set[str]:
    """The definition, with strings and sets."""
    plain = "".join(c for c in unicodedata.normalize("NFC", text) if not c.isspace())
    if not plain:
        return set()
    return {plain[i : i + n] for i in range(max(1, len(plain) - n + 1))}


def by_sets(a: str, b: str, n: int) -> float:
    x, y = grams(a, n), grams(b, n)
    return len(x & y) / len(x | y) if x | y else 1.0


@given(KOREAN, KOREAN, st.integers(1, 9))
def test_jaccard_is_that_of_string_sets(a, b, n):
    assert shingles.jaccard(a, b, n) == by_sets(a, b, n)


@given(ANY_TEXT, st.integers(1, 9))
def test_reference_counts_the_distinct_grams(text, n):
    _, offsets = reference.shingle_sets([text], n)
    assert offsets.tolist() == [0, len(grams(text, n))]


@needs_native
@given(TEXTS, st.integers(1, 9), st.sampled_from([1, 31, 32, 160]), st.integers(0, 2**64 - 1))
@settings(max_examples=40)
def test_native_signatures_equal_the_reference(texts, n, count, seed):
    texts = shingles.nfc(texts)
    ours, oracle = native.signatures(texts, n, count, seed), reference.signatures(texts, n, count, seed)
    for mine, theirs in zip(ours[:3], oracle[:3], strict=True):
        assert mine.dtype == theirs.dtype and np.array_equal(mine, theirs)


@needs_native
@given(TEXTS, st.integers(1, 9))
def test_native_sets_equal_the_reference(texts, n):
    texts = shingles.nfc(texts)
    for mine, theirs in zip(native.shingle_sets(texts, n), reference.shingle_sets(texts, n), strict=True):
        assert mine.dtype == theirs.dtype and np.array_equal(mine, theirs)


@needs_native
@given(ANY_TEXT)
def test_decomposed_text_has_the_signature_of_composed_text(text):
    forms = [unicodedata.normalize(form, text) for form in ("NFC", "NFD")]
    minima, digests, lengths = shingles.signatures(forms, 5)
    assert (
        np.array_equal(minima[0], minima[1])
        and np.array_equal(digests[0], digests[1])
        and lengths[0] == lengths[1]
    )


@needs_native
def test_code_points_taken_as_nfc_really_are():
    for point in range(0x110000):
        if native.surely_nfc(point):
            char = chr(point)
            assert unicodedata.is_normalized("NFC", char) and unicodedata.combining(char) == 0, hex(point)
            assert unicodedata.is_normalized("NFC", "가" + char) and unicodedata.is_normalized(
                "NFC", "a" + char
            ), hex(point)


@needs_native
def test_white_space_is_that_of_python():
    spaces = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000 and chr(c).isspace()]
    _, _, lengths, _ = native.signatures([*spaces, "".join(spaces), "\u200b"], 5, 1, 0)
    assert lengths.tolist() == [0] * (len(spaces) + 1) + [1]


@needs_native
@pytest.mark.parametrize("isa", ["avx512f", "avx2", "sse4.1", "plain"])
def test_every_instruction_set_gives_the_same_minima(isa):
    texts = ["공공데이터를 활용한 서비스 개발 안내서입니다. " * 40, "짧은 글", "", "x" * 5000]
    best = native.isa()
    expected = reference.signatures(texts, 5, 100, 7)[0]
    try:
        if native.use_isa(isa):
            assert np.array_equal(native.signatures(texts, 5, 100, 7)[0], expected)
    finally:
        native.use_isa(best)


GOLDEN_MINIMA = [[845081477, 505206331, 978697852], [2649642455, 3963419093, 5564880], [4294967295] * 3]
GOLDEN_DIGESTS = [
    ["0x4d6ac2a3f56e48a3", "0x7a88aeda32b32cec"],
    ["0xe1485256e8734bcd", "0xb451804d9831abe"],
    ["0x0", "0x0"],
]


def test_golden_values_hold_on_every_machine():
    """Written down once: signatures of different machines and versions can be compared."""
    minima, digests, lengths = shingles.signatures(["안녕하세요 세계", "abc", ""], 5)
    assert lengths.tolist() == [7, 3, 0]
    assert minima[:, :3].tolist() == GOLDEN_MINIMA
    assert [[hex(x) for x in row] for row in digests.tolist()] == GOLDEN_DIGESTS


@needs_native
def test_native_sets_of_long_texts_equal_the_reference():
    """Thousands of shingles: none repeated, few different ones, one alone."""
    rng = np.random.default_rng(11)
    letters = "".join(chr(0xAC00 + int(k)) for k in rng.integers(0, 11172, 70_000))
    texts = [letters, "ㅋㅎ" * 40_000, "가" * 5_000, letters[:3000] + "가나" * 3000, letters[:6]]
    for mine, theirs in zip(native.shingle_sets(texts, 5), reference.shingle_sets(texts, 5), strict=True):
        assert np.array_equal(mine, theirs)


def test_estimate_is_near_the_exact_jaccard():
    rng = np.random.default_rng(0)
    words = [f"낱말{i}" for i in range(400)]
    for share in (0.02, 0.1, 0.3):
        errors = []
        for _ in range(40):
            base = rng.choice(words, 150).tolist()
            other = [w if rng.random() > share else rng.choice(words) for w in base]
            pair = [" ".join(base), " ".join(other)]
            minima, _, _ = shingles.signatures(pair, 5)
            errors.append(float((minima[0] == minima[1]).mean()) - by_sets(*pair, 5))
        assert abs(np.mean(errors)) < 0.02 and np.std(errors) < 0.06


def test_lsh_shape_finds_pairs_at_the_threshold():
    for threshold in (0.3, 0.5, 0.7, 0.75, 0.8, 0.9, 0.99, 1.0):
        bands, rows = shingles.lsh_shape(threshold)
        assert bands * rows <= shingles.PERMUTATIONS
        assert 1 - (1 - threshold**rows) ** bands >= shingles.CANDIDATE_RECALL


@st.composite
def tables(draw):
    """Signatures with planted agreement, and small sets to go with them."""
    rows = draw(st.integers(0, 12))
    sig = np.array(
        draw(st.lists(st.lists(st.integers(0, 2), min_size=6, max_size=6), min_size=rows, max_size=rows))
    )
    sets = [sorted(s) for s in draw(st.lists(st.sets(st.integers(1, 8)), min_size=rows, max_size=rows))]
    offsets = np.concatenate([[0], np.cumsum([len(s) for s in sets])]).astype(np.int64)
    values = np.array([v for s in sets for v in s], np.uint64)
    return sig.reshape(rows, 6).astype(np.uint32), values, offsets


NONE = np.zeros(0, np.uint64)
WHOLE = (0, 2**64 - 1, NONE)
SHAPES = [(3, 2), (2, 3), (6, 1)]


@needs_native
@given(tables(), st.sampled_from([2, 3, 4096]), st.integers(0, 6), st.sampled_from([0.2, 0.5, 0.75, 1.0]))
@settings(max_examples=150)
def test_native_clusters_equal_the_reference(table, large, least, threshold):
    sig, values, offsets = table
    for bands, rows in SHAPES:
        shape = (bands, rows, large, least)
        mine, theirs = native.candidates(sig, *shape, *WHOLE), reference.candidates(sig, *shape, *WHOLE)
        assert np.array_equal(mine, theirs)
        mine, counts = native.clusters(sig, *shape, values, offsets, threshold, *WHOLE)
        theirs, expected = reference.clusters(sig, *shape, values, offsets, threshold, *WHOLE)
        assert np.array_equal(mine, theirs)
        assert (counts["buckets"], counts["largest_bucket"]) == (
            expected["buckets"],
            expected["largest_bucket"],
        )
        pairs = np.array([[i, j] for i in range(len(sig)) for j in range(len(sig))], np.int64).reshape(-1, 2)
        assert np.array_equal(
            native.jaccards(values, offsets, pairs), reference.jaccards(values, offsets, pairs)
        )


@needs_native
@given(tables(), st.integers(0, 6))
def test_native_entries_and_meetings_equal_the_reference(table, least):
    sig, _, _ = table
    for bands, rows in SHAPES:
        keys, sketches = native.entries(sig, bands, rows)
        expected = reference.entries(sig, bands, rows)
        assert np.array_equal(keys, expected[0]) and np.array_equal(sketches, expected[1])
        of = np.argsort(keys.ravel(), kind="stable")
        entries = (keys.ravel()[of], np.ascontiguousarray(sketches[of // bands]), sig.shape[1])
        for large in (2, 4096):
            flags = native.meetings(*entries, large, least)
            assert np.array_equal(flags, reference.meetings(*entries, large, least))
            # a sketch loses no partner: who agrees by signature in a bucket is flagged
            whole = reference.candidates(sig, bands, rows, 4096, least, *WHOLE)
            assert set(np.flatnonzero(whole).tolist()) <= set((of[flags != 0] // bands).tolist())


@pytest.mark.parametrize("core", [reference, pytest.param(native, marks=needs_native)])
@given(
    table=tables(),
    large=st.sampled_from([2, 3, 4096]),
    least=st.integers(0, 6),
    threshold=st.sampled_from([0.2, 0.5, 0.75]),
    cuts=st.lists(st.integers(1, 2**64 - 1), max_size=4),
)
def test_components_of_parts_join_to_those_of_the_whole(core, table, large, least, threshold, cuts):
    """Whatever the cuts of the key space: each part sees only what its candidates ask for."""
    sig, values, offsets = table
    for bands, rows in SHAPES:
        shape = (bands, rows, large, least)
        expected, _ = reference.clusters(sig, *shape, values, offsets, threshold, *WHOLE)
        keys, count = np.unique(reference.band_keys(sig, bands, rows), return_counts=True)
        joined = core.Components(len(sig))
        bounds = sorted({0, *cuts})
        for low, after in zip(bounds, [*bounds[1:], 2**64], strict=True):
            part = (low, after - 1, keys[count > large])
            asked = core.candidates(sig, *shape, *part) != 0
            some = np.concatenate(
                [np.zeros(0, np.uint64)]
                + [values[offsets[i] : offsets[i + 1]] for i in np.flatnonzero(asked)]
            )
            sizes = np.where(asked, np.diff(offsets), 0)
            short = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
            parent, _ = core.clusters(sig, *shape, some, short, threshold, *part)
            joined.join(np.stack([np.arange(len(sig)), parent.astype(np.int64)], axis=1))
        assert joined.roots().tolist() == expected.tolist()


@needs_native
@given(st.integers(1, 30), st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=40))
def test_native_components_equal_the_reference(count, pairs):
    edges = np.array([(a % count, b % count) for a, b in pairs], np.int64).reshape(-1, 2)
    mine, theirs = native.Components(count), reference.Components(count)
    for made in (mine, theirs):
        made.join(edges)
    assert mine.roots().tolist() == theirs.roots().tolist()


@needs_native
@given(st.lists(st.integers(0, 5), max_size=9), st.data())
def test_native_spans_equal_the_reference(sizes, data):
    ends = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    rows = st.lists(st.integers(0, max(len(sizes) - 1, 0)), max_size=12 if sizes else 0)
    picked = np.array(data.draw(rows), np.int64)
    values = np.arange(ends[-1], dtype=np.uint64)
    expected = [v for r in picked for v in values[ends[r] : ends[r + 1]].tolist()]
    for made in (native, reference):
        assert made.spans(values, ends, picked).tolist() == expected


@needs_native
def test_large_families_in_parts_are_found_without_comparing_all_with_all():
    """Three hundred copies share all buckets: more than a small bucket's pairs, fewer than a split one's."""
    rng = np.random.default_rng(3)
    base = rng.integers(0, 2**32, 160, dtype=np.uint32)
    sig = np.tile(base, (300, 1))
    sig[np.arange(300), rng.integers(0, 160, 300)] += 1
    values, offsets = np.tile(np.arange(10, dtype=np.uint64), 300), np.arange(0, 3001, 10, dtype=np.int64)
    joined, verified = native.Components(300), 0
    for part in range(8):
        bounds = (part << 61, ((part + 1) << 61) - 1, NONE)
        parent, counts = native.clusters(sig, 32, 5, 4096, 95, values, offsets, 0.75, *bounds)
        joined.join(np.stack([np.arange(300), parent.astype(np.int64)], axis=1))
        verified += counts["verified"]
    assert set(joined.roots().tolist()) == {0} and verified < 32 * 300


@needs_native
def test_wrong_shapes_are_refused():
    sig = np.zeros((2, 6), np.uint32)
    with pytest.raises(ValueError):
        native.candidates(sig, 4, 2, 9, 1, *WHOLE)
    with pytest.raises(ValueError):
        native.clusters(sig, 3, 2, 9, 1, np.zeros(1, np.uint64), np.array([0, 1, 5], np.int64), 0.5, *WHOLE)
    with pytest.raises(ValueError):
        native.candidates(sig, 3, 0, 9, 1, *WHOLE)
    with pytest.raises(ValueError):
        native.jaccards(np.zeros(0, np.uint64), np.zeros(1, np.int64), np.array([[0, 1]], np.int64))
    with pytest.raises(ValueError):
        native.meetings(np.zeros(2, np.uint64), np.zeros((2, 4), np.uint64), 160, 4096, 1)
    with pytest.raises(ValueError):
        native.Components(2).join(np.array([[0, 2]], np.int64))


@needs_native
@given(st.lists(KOREAN, max_size=6), st.lists(KOREAN, max_size=6), st.integers(1, 8))
def test_native_overlap_equals_the_reference(fields, texts, n):
    mine = native.overlap_index(fields, n).search(texts)
    theirs = reference.overlap_index(fields, n).search(texts)
    assert np.array_equal(mine, theirs)


def test_overlap_counts_distinct_grams_of_the_field():
    index = shingles.backend().overlap_index(["서울은 대한민국의 수도이다", "짧다"], 5)
    rows = index.search(
        ["옛날부터 서울은 대한 민국의 수도이다. 서울은 대한민국의 수도이다!", "부산은 바다가 있다"]
    ).tolist()
    assert rows == [[0, 0, 8, 8]]
