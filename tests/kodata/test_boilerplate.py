"""Heads and tails of articles go, middles never: by rules, and by how many documents of a site share a line."""

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kodata.boilerplate import Frames, may_be_framed, trim
from kodata.boilerplate.frequency import edge_keys, fill_edge_keys, key_of, site_key
from kodata.boilerplate.rules import trim_by_rules
from kodata.doc import read_records
from tests.made_korean import sentence, write_jsonl

BODY = "군은 마을 도서관 세 곳을 새로 열었다고 밝혔다.\n\n주민들은 아이들과 함께 책을 읽을 곳이 생겨 반갑다고 말했다."


def test_news_head_and_tail() -> None:
    article = f"(진천=새소식) 홍길동 기자 = {BODY}\n\n홍길동 기자 hong@news.example.kr\n저작권자 ⓒ 새소식, 무단전재 및 재배포 금지\n▶ 관련기사 더 보기"
    found = trim(article)
    assert found.text == BODY and len(found.cut) == 4


def test_middle_stays() -> None:
    text = f"{BODY}\n\n주소: 시장 앞. ⓒ 표시와 무단전재라는 말이 본문에 나온다.\n\n{BODY}\n{BODY}"
    assert trim(text) == (text, ())


def test_a_text_that_is_all_frame_keeps_its_first_line() -> None:
    assert trim("▶ 오늘의 소식").text == "▶ 오늘의 소식"


def test_long_lines_are_prose() -> None:
    text = f"첫 줄이다.\n저작권자는 {'아주 긴 이야기를 남겼다 ' * 20}"
    assert trim(text).cut == ()


def test_text_at_the_end_is_not_frame() -> None:
    for tail in (
        "▶ 첫째, 책을 읽는다\n▶ 둘째, 글을 쓴다",
        "그는 저작권자에게 물어야 한다고 말했다.",
        "화면의 공유하기 단추를 누르면 됩니다.",
        "글자크기는 설정에서 바꿀 수 있어요.",
        "제보는 누구나 할 수 있다.",
        "출처: 통계청, CC BY 4.0",
    ):
        assert trim(f"{BODY}\n{tail}") == (f"{BODY}\n{tail}", ())
    assert trim("(2=3) 식을 풀어 보자.\n둘째 줄이다.").cut == ()


def test_links_go_only_below_a_byline_or_a_copyright_line() -> None:
    frame = ["홍길동 기자", "▶ 오늘의 날씨", "무단전재 및 재배포를 금합니다.", "▷ 바로 가기"]
    found = trim("\n".join([BODY, "▶ 첫째, 책을 읽는다", *frame]))
    assert found.text == f"{BODY}\n▶ 첫째, 책을 읽는다" and list(found.cut) == frame


def test_datelines_are_named_places_or_reporters() -> None:
    for head in ("(서울=새소식) ", "[뉴욕=AP] 홍길동 기자 = ", "【진천=새소식】"):
        assert trim(head + BODY).text == BODY


# --- lines that documents of a site share


def pages(
    n: int, site: str = "a.example", tail: str = "이 블로그의 글이 좋다면 이웃을 맺어 주세요"
) -> list[dict]:
    rng = random.Random(n)
    return [
        {
            "text": "\n".join(
                [
                    f"오늘의 산책 일지 {i}호",
                    "책방 골목 이야기",
                    *(sentence(rng) for _ in range(rng.randint(4, 9))),
                    f"조회 {i * 7}",
                    tail,
                ]
            ),
            "kind": "web",
            "url": f"https://{site}/{i}",
            "id": f"{site}-{i}",
        }
        for i in range(n)
    ]


def run(tmp_path: Path, records: list[dict], name: str = "out", **more) -> Path:
    from kodata.pipeline import CleanConfig, clean

    source = tmp_path / f"{name}.jsonl"
    write_jsonl(source, records)
    clean([str(source)], output=tmp_path / name, config=CleanConfig(**more), workers=1)
    return tmp_path / name


def docs(folder: Path, what: str = "docs") -> list[dict]:
    return [r for f in sorted((folder / what).glob("*")) for _, r in read_records(f)]


def test_lines_of_a_site_go_from_both_edges(tmp_path: Path) -> None:
    records = pages(60) + pages(60, "b.example", "다음에 또 만나요")
    for record, made in zip(records, docs(run(tmp_path, records)), strict=True):
        assert made["text"] == "\n".join(record["text"].split("\n")[2:-2])
    cut = docs(tmp_path / "out", "trimmed")
    assert (
        len(cut) == 120
        and cut[3]["cut"] == records[3]["text"].split("\n")[:2] + records[3]["text"].split("\n")[-2:]
    )
    assert (
        [c["id"] for c in cut] == [r["id"] for r in records] and cut[0]["in"] == "docs" and cut[7]["n"] == 7
    )


def test_few_pages_other_sites_and_copies_are_no_frame(tmp_path: Path) -> None:
    few = pages(8)
    spread = [{**r, "url": f"https://s{i}.example/1"} for i, r in enumerate(pages(60))]
    copies = [dict(pages(1, "c.example")[0], id=f"c{i}") for i in range(60)]
    for number, records in enumerate((few, spread, copies)):
        made = docs(run(tmp_path, records, f"out{number}"))
        assert [d["text"] for d in made] == [r["text"] for r in records]


def test_shared_lines_in_the_middle_and_in_books_stay(tmp_path: Path) -> None:
    rng = random.Random(1)
    shared = "이웃을 맺어 주세요"
    records = [
        {
            "text": "\n".join(
                [*(sentence(rng) for _ in range(5)), shared, *(sentence(rng) for _ in range(3))]
            ),
            "kind": "web",
            "id": str(i),
        }
        for i in range(80)
    ]
    assert [d["text"] for d in docs(run(tmp_path, records))] == [r["text"] for r in records]
    books = [{**r, "kind": "book"} for r in pages(60)]
    made = docs(run(tmp_path, books, "books"))
    assert all(shared_line in d["text"] for d in made for shared_line in ("책방 골목 이야기", "이웃을 맺어"))


def test_a_text_that_is_all_frame_stays_for_the_rules(tmp_path: Path) -> None:
    records = [
        *pages(60),
        {
            "text": "책방 골목 이야기\n이 블로그의 글이 좋다면 이웃을 맺어 주세요",
            "kind": "web",
            "url": "https://a.example/x",
            "id": "x",
        },
    ]
    folder = run(tmp_path, records)
    assert (
        next(d for d in docs(folder) + docs(folder, "dropped") if d["id"] == "x")["text"]
        == records[-1]["text"]
    )


def test_headings_code_and_attributions_are_no_frame(tmp_path: Path) -> None:
    rng = random.Random(1)
    body = [[sentence(rng) for _ in range(5)] for _ in range(60)]
    records = [
        {
            "text": "\n".join(["## 들어가며", *lines, "출처: 어느 도서관, CC BY 4.0", "```", "end", "```"]),
            "kind": "web",
            "id": str(i),
        }
        for i, lines in enumerate(body)
    ]
    assert [d["text"] for d in docs(run(tmp_path, records))] == [r["text"] for r in records]


def test_the_same_at_any_number_of_workers_and_after_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kodata.boilerplate import counting
    from kodata.pipeline import CleanConfig, clean, count, plan

    monkeypatch.setattr(plan, "SMALLEST_UNIT", 4000)
    records = pages(120)
    source = tmp_path / "in.jsonl"
    write_jsonl(source, records)
    whole = tmp_path / "whole"
    clean([str(source)], output=whole, config=CleanConfig(), workers=1)
    assert len(list((whole / "docs").glob("*"))) > 5
    cut = tmp_path / "cut"
    left = iter(range(3))
    real = counting.count_unit

    def killed(*args, **more):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return real(*args, **more)

    with monkeypatch.context() as patched:
        patched.setattr(count, "count_unit", killed)
        with pytest.raises(KeyboardInterrupt):
            clean([str(source)], output=cut, config=CleanConfig(), workers=1)
    monkeypatch.setattr(counting, "SLICE_MARKS", 50)
    clean([str(source)], output=cut, config=CleanConfig(), workers=2)
    for what in ("docs", "trimmed"):
        for file in sorted((whole / what).glob("*")):
            assert (cut / what / file.name).read_bytes() == file.read_bytes()
    assert (cut / "work/frames.npy").read_bytes() == (whole / "work/frames.npy").read_bytes()


def test_slow_forms_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kodata.pipeline import CleanConfig, clean
    from kodata.sources import html

    folder = tmp_path / "pages"
    folder.mkdir()
    rng = random.Random(3)
    for i in range(30):
        body = "".join(f"<p>{sentence(rng)} {sentence(rng)}</p>" for _ in range(5))
        (folder / f"{i:02d}.html").write_text(
            f"<html><body><p>책방 골목 이야기</p>{body}<p>이웃을 맺어 주세요 감사합니다</p></body></html>"
        )
    (folder / "x.txt").write_text("\n".join(sentence(rng) for _ in range(9)))
    calls: list[int] = []
    real = html.page
    monkeypatch.setattr(html, "page", lambda *a: calls.append(1) or real(*a))
    clean([str(folder)], output=tmp_path / "out", config=CleanConfig(), workers=1)
    made = docs(tmp_path / "out")
    assert len(calls) == 30 and len(made) == 31
    assert not any(line in d["text"] for d in made for line in ("책방 골목 이야기", "이웃을 맺어 주세요"))


def test_renamed_documents_keep_their_trimmed_pieces(tmp_path: Path) -> None:
    records = [{**r, "id": "같은 이름"} for r in pages(60)]
    folder = run(tmp_path, records)
    ids = [d["id"] for d in docs(folder)]
    assert len(set(ids)) == 60 and [c["id"] for c in docs(folder, "trimmed")] == ids


LINES = ["가", "가나", " 다 라 ", "12 34", "조회 12", "조회 ٣", "```", "~~~py", "::: tip", "<div>", "</b> ", "<a href=x> 말", "CC BY 4.0", "ACC-BY", "공공누리 1",
         "크리에이티브 커먼즈", "크리에이티브\u3000커먼즈", " 출처 : 나", "출처는", "½²", "a_b", "_ _", "\t", "", "긴 줄 " * 50, "x" * 160, "y" * 161, "\ud800 끝"]  # fmt: skip


@given(
    st.lists(st.one_of(st.sampled_from(LINES), st.text(max_size=12)), max_size=24),
    st.sampled_from(["", "a.kr", "출처"]),
)
def test_edges_are_those_of_the_reference(lines: list[str], site: str) -> None:
    texts = ["\n".join(lines), "\n".join(lines[::-1])]
    found, expected = edge_keys(texts, [site, site + "x"]), np.zeros((2, 18), dtype=np.uint64)
    fill_edge_keys(texts, [site, site + "x"], expected)
    assert found.tolist() == expected.tolist()


@given(st.lists(st.sampled_from(LINES), max_size=30), st.sampled_from(["", "a.kr"]))
def test_texts_that_may_not_be_cut_are_not(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], site: str
) -> None:
    text, other = "\n".join(lines).strip("\n"), "\n".join(lines[:9]).strip("\n")
    counted = sorted({key_of(site, line) for line in lines[::3]} | {site_key(site)})
    table = np.array(
        [(key, 60 if n % 2 else 5) for n, key in enumerate(counted)], dtype=[("key", "<u8"), ("count", "<u4")]
    )
    path = tmp_path_factory.mktemp("frames") / "frames.npy"
    np.save(path, table)
    frames = Frames(path)
    for some, cut in zip((text, other), frames.may_cut([text, other], [site, site]).tolist(), strict=True):
        assert cut or not frames.trim(some, site).cut
        assert may_be_framed(some.rstrip()) or not trim_by_rules(some.rstrip()).cut
