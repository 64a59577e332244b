"""Cleaning by the batch against cleaning one document after the other, by the plain references."""

import gzip
import json
import random
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kodata.boilerplate import trim
from kodata.boilerplate.counting import TRIMMED
from kodata.boilerplate.frequency import site_of
from kodata.doc import Document, place_id
from kodata.lang import KOREAN, asked
from kodata.licence import known
from kodata.pii import PiiConfig, find, mask
from kodata.pii.shapes import ALL
from kodata.pipeline import CleanConfig
from kodata.pipeline.cleaner import Cleaned, Cleaner, plain
from kodata.pipeline.judging import at_borders, judge_all
from kodata.pipeline.plan import Plan
from kodata.pipeline.route import route
from kodata.pipeline.unit import batches, records
from kodata.rules import PROFILES, Drop, judge, profile_of
from kodata.sources import Failure, Part, Record, Settings
from kodata.sources.fields import NoText, _of_any, record
from kodata.text.hanyang import PROFILES as OLD_HANGUL
from kodata.text.hanyang import to_jamo
from kodata.text.many import look
from kodata.text.measure import measure
from kodata.text.normalise import normalise
from kodata.text.rejoin import PROFILES as WRAPPED
from kodata.text.rejoin import rejoin
from kodata.toxicity import toxicity

PART = Part(path="in/a.jsonl", name="in/a.jsonl", form="jsonl")
SENTENCES = [
    "아침 바람이 강가에서 천천히 불었고 아이들은 마당에서 뛰어놀다가 집으로 돌아갔다.", "그것은 당신에 의해 되어진 것입니다. 그녀는 그들을 가지고 있다.",
    "나 는 학교 에 서 밥 을 먹 는 다.", "연락처는 010-1234-5678 이고 메일은 kim@naver.com 이다.", "온라인카지노 토토사이트 먹튀검증 꽁머니 카톡 abcd1234",
    "씨발 이게 뭐야", "ㅅㅣㅂㅏㄹ 진짜", "Nothing here is Korean, not a single word of it.", "これは日本語の文章です。", "def f(x):\n    return {x: 1}",
    "(서울=연합뉴스) 홍길동 기자 = 오늘 회의가 열렸다.", "저작권자 ⓒ 무단 전재 및 재배포 금지", "▶ 관련 기사", "<b>굵은</b> 글 &amp; 기호", "ㅋㅋㅋㅋㅋㅋㅋㅋ", "---- ==== ????",
    "12345 67890 11111", "가나다라마바사아자차카타파하거너더러머버서어저처커터퍼허", "메뉴", "¾È³çÇÏ¼¼¿ä ¹Ý°©½À´Ï´Ù", "\ud800 홀로", "👍👍👍👍👍 좋아요", "같은 말 같은 말 같은 말",
]  # fmt: skip
texts = st.lists(st.sampled_from(SENTENCES), max_size=8).flatmap(
    lambda some: st.sampled_from([" ", "\n", "\n\n", "\r\n"]).map(lambda by: by.join(some))
)
metas = st.fixed_dictionaries(
    {},
    optional={
        "licence": st.sampled_from(["MIT", "unknown", "CC BY 4.0", 3]),
        "kind": st.sampled_from(["web", "news", "dialogue", "book", "law", "verse", "wiki", "code", "?", 7]),
        "url": st.sampled_from(["https://www.a.kr/b", "#1"]),
        "title": st.sampled_from(["제목", "문의 010-1234-5678", "\ud800"]),
        "note": st.sampled_from([{"전화": ["010-1234-5678"]}, 3, None, [1.5, "x"]]),
    },
)
made = st.builds(
    Record, texts, st.integers(1, 99).map(str), st.sampled_from([None, "a", "가", "\ud800b"]), st.sampled_from(["", "출처"]),
    metas, st.sampled_from(["", "", "", "chat_material"]),
)  # fmt: skip
configs = st.sampled_from(
    [
        CleanConfig(), CleanConfig(profile="web"), CleanConfig(lang="ko,en,ja,code"), CleanConfig(require_licence=True), CleanConfig(profile="fineweb2"),
        CleanConfig(pii=PiiConfig(mode="off"), toxicity=False), CleanConfig(pii=PiiConfig(mode="pseudonym", seed=2), boilerplate=False),
    ]
)  # fmt: skip


def plan(settings: Settings | None = None) -> Plan:
    return Plan(arguments=["in"], settings=[settings or Settings()], units=[[PART]])


def masked(value: Any, config: PiiConfig) -> Any:
    if isinstance(value, str):
        return mask(value, config, ALL).text
    if isinstance(value, dict):
        return {key: masked(item, config) for key, item in value.items()}
    return [masked(item, config) for item in value] if isinstance(value, list) else value


def by_itself(record: Record, config: CleanConfig, settings: Settings) -> tuple[Any, ...]:
    """One document through the references: (document, drop, language, profile, places, pieces cut off)."""
    meta, kind = record.meta, record.meta.get("kind")
    source = record.source or settings.source or "in"
    profile = settings.profile or profile_of(kind if isinstance(kind, str) else None, config.profile)
    text = normalise(record.text)
    if profile in OLD_HANGUL:
        text, _ = to_jamo(text)
    if profile in WRAPPED:
        text = rejoin(text)
    cut: tuple[str, ...] = ()
    if config.boilerplate and profile in TRIMMED:
        text, cut = trim(text, None, site_of(meta, source))
    found = measure(text)
    drop = Drop(record.drop, 0.0, 0.0, "sources") if record.drop else judge(found, text, PROFILES[profile])
    language, profile, drop = route(found, text, profile, drop, asked(config.lang), kind)
    if drop is None and config.require_licence and not known(meta.get("licence")):
        drop = Drop("no_licence", 0.0, 1.0, "licence")
    done = mask(text, config.pii, ALL)
    if config.pii.mode != "off":
        open_keys = ("licence", "url", "kind", "date", "file", "part")
        meta = {key: value if key in open_keys else masked(value, config.pii) for key, value in meta.items()}
    if drop is None and language != KOREAN:
        meta = {**meta, "language": language}
    if drop is None and language == KOREAN and config.toxicity and (score := toxicity(text, found.eojeol)):
        meta = {**meta, "toxicity": round(score, 3)}
    identity = plain(record.id) if record.id else place_id(PART.name, record.place)
    pieces = [mask(piece, config.pii, ALL).text for piece in cut]
    return Document(identity, done.text, source, meta), drop, language, profile, list(done.found), pieces


def outcome(item: Cleaned) -> tuple[Any, ...]:
    return item.document, item.drop, item.language, item.profile, list(item.found), list(item.cut)


@settings(max_examples=120, deadline=None)
@given(st.lists(made, max_size=12), configs)
def test_a_batch_is_cleaned_as_each_document_alone(some: list[Record], config: CleanConfig) -> None:
    profile = None if config.profile == "auto" else config.profile
    setting = Settings(profile=profile)
    whole, single = Cleaner(config, plan(setting)), Cleaner(config, plan(setting))
    done = whole.clean([(PART, item) for item in some])
    assert [outcome(item) for item in done] == [by_itself(item, config, setting) for item in some]
    for item in some:
        single.clean([(PART, item)])
    assert json.dumps(whole.numbers.to_json()) == json.dumps(single.numbers.to_json())
    counts = whole.numbers.counts
    assert counts["in"] == len(some) == counts["kept"] + counts["dropped"]
    assert counts["bytes_in"] == sum(len(item.text.encode("utf-8", "replace")) for item in some)
    kept = [item for item in done if item.drop is None]
    assert counts["bytes_out"] == sum(len(item.document.text.encode("utf-8", "replace")) for item in kept)
    assert whole.numbers.pii == Counter(place.kind for item in done for place in item.found)


@settings(max_examples=120, deadline=None)
@given(
    st.lists(texts.map(normalise), min_size=1, max_size=8),
    st.integers(1, 60),
    st.sampled_from(sorted(PROFILES)),
)
def test_rules_over_a_table_are_those_over_one_text(some: list[str], times: int, profile: str) -> None:
    some = [normalise("\n".join([text] * (times if n % 2 else 1))) for n, text in enumerate(some)]
    looked, rows = look(some), list(range(len(some)))[::-1]
    found = judge_all(looked, some, rows, profile)
    expected = {n: judge(measure(text), text, PROFILES[profile]) for n, text in enumerate(some)}
    assert found == {n: drop for n, drop in expected.items() if drop}
    for n, near in at_borders(looked, rows, profile).items():
        for reason, value, limit in near:
            assert limit == PROFILES[profile][reason] and abs(value - limit) < 0.2 * limit
            assert value in asdict(measure(some[n])).values()


keys = st.sampled_from(
    ["id", "doc_id", "text", "TEXT", "content", "본문", "source", "url", "url_or_path", "licence", "license", "title", "date", "작성일", "kind",
     "meta", "metadata", "note", "기자"]
)  # fmt: skip
values = st.sampled_from(
    [
        "",
        " ",
        "글",
        " a ",
        "2024.1.2",
        "MIT",
        None,
        0,
        7,
        True,
        1.5,
        [],
        ["가", "나"],
        {"url": "u"},
        {"licence": "CC0", "x": 1},
    ]
)


@settings(max_examples=600, deadline=None)
@given(
    st.dictionaries(keys, values, max_size=8),
    st.builds(Settings, source=st.sampled_from(["", "s"]), licence=st.sampled_from([None, "L"]), kind=st.sampled_from([None, "k"])),
)  # fmt: skip
def test_the_short_way_to_a_record_is_the_long_one(row: dict[str, Any], setting: Settings) -> None:
    try:
        expected = _of_any(row, "1", setting)
    except NoText as error:
        with pytest.raises(NoText) as found:
            record(row, "1", setting)
        assert str(found.value) == str(error)
        return
    made = record(row, "1", setting)
    assert made == expected and list(made.meta) == list(expected.meta)


def test_batches_keep_order_and_stop_at_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kodata.pipeline.unit.BATCH", 3)
    monkeypatch.setattr("kodata.pipeline.unit.BATCH_CHARS", 2500)
    sizes = [1, 1, 1, 1, 0, 0, 5200, 1, 1, 1]
    items = [Record("가" * n, str(i)) if n else Failure("a", str(i), "x") for i, n in enumerate(sizes)]
    counts: Counter[str] = Counter()
    found = list(batches(records([PART], lambda part, settings: iter(items), plan(), 1000, counts)))
    assert [[r.place for _, r in batch] for batch, _ in found[:4]] == [
        ["0", "1", "2"],
        ["3"],
        [],
        ["6#1", "6#2", "6#3"],
    ]
    assert [failure[1].place if failure else "" for _, failure in found] == ["", "4", "5", "", "", ""]
    assert [r.place for batch, _ in found for _, r in batch][-3:] == ["7", "8", "9"]
    assert counts["split"] == 5 and "".join(r.text for batch, _ in found for _, r in batch) == "가" * 5207


def test_real_documents(real_data: Path) -> None:
    rng, some = random.Random(4), []
    for file in sorted((real_data / "corpus").glob("*/*.jsonl.gz")):
        with gzip.open(file) as lines:
            short = [line for line in lines if len(line) < 12_000]
        rows = rng.sample(short, min(5, len(short)))
        some += [record(json.loads(row), str(n), Settings()) for n, row in enumerate(rows)]
    config = CleanConfig()
    done = Cleaner(config, plan()).clean([(PART, item) for item in some])
    assert [outcome(item) for item in done] == [by_itself(item, config, Settings()) for item in some]
    assert find(done[0].document.text) == []
