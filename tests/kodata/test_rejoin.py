"""Wrapped lines are put together, everything else keeps its lines; old Hangul out of the private use area."""

import random
from importlib.util import find_spec

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kodata.text import hanyang, normalise
from kodata.text.rejoin import rejoin, width
from tests.made_korean import sentence


def prose(seed: int, n: int = 9) -> str:
    rng = random.Random(seed)
    return " ".join(sentence(rng) for _ in range(n))


def by_words(text: str, columns: int) -> str:
    lines, line = [], ""
    for word in text.split():
        if line and width(line) + 1 + width(word) > columns:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    return "\n".join([*lines, line])


def by_letters(text: str, columns: int) -> str:
    lines, line = [], ""
    for letter in text:
        if width(line) + width(letter) > columns:
            lines.append(line.strip())
            line = ""
        line += letter if line or letter != " " else ""
    return "\n".join([*lines, line])


@pytest.mark.parametrize("columns", [34, 50, 72])
def test_lines_wrapped_at_words_are_one_paragraph_again(columns: int) -> None:
    for seed in range(20):
        text = prose(seed, 12)
        assert rejoin(by_words(text, columns)) == text


def test_paragraphs_stay_apart() -> None:
    texts = [prose(seed) for seed in range(4)]
    assert rejoin("\n\n".join(by_words(text, 50) for text in texts)) == "\n\n".join(texts)
    indented = "\n".join("  " + by_words(text, 50) for text in texts)
    assert [line.strip() for line in rejoin(indented).split("\n")] == texts


def test_lines_wrapped_at_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    text = prose(3, 12)
    whole = set(text.split())
    # Kiwi's answer stands in here: a space where the two pieces are no word of the text together
    monkeypatch.setattr(
        "kodata.text.spacing.space_between",
        lambda a, b: a.rpartition(" ")[2] + b.partition(" ")[0] not in whole,
    )
    found = rejoin(by_letters(text, 44))
    assert "\n" not in found
    wrong = sum(word not in whole for word in found.split())
    assert wrong <= 2  # the piece is a word of its own by chance


@pytest.mark.slow
def test_spaces_at_cuts_by_kiwi() -> None:
    from kodata.text.spacing import space_between

    assert space_between("오늘은 날씨가", "맑아서 동네까지 걸었다") and not space_between(
        "오늘은 날", "씨가 맑아서 걸었다"
    )


VERSE = "\n".join(
    [
        "산에는 꽃이 피고 물은 흐르네",
        "들에는 바람 불어 풀이 눕네",
        "강가에 홀로 앉아 그대를 보네",
        "저문 해 바라보며 노래하네",
        "달빛은 고요하게 내려앉네",
        "그대와 나의 밤은 깊어 가네",
    ]
)
LIST = "\n".join(f"{i}. {'준비할 물건의 이름과 수량을 여기에 적어 두고 확인'}" for i in range(1, 9))
DIALOGUE = "\n".join(
    f'"{"오늘은 어디까지 걸어서 다녀올 생각인지 말해 보거라"}{"?" * (i % 2 + 1)}"' for i in range(8)
)
TABLE = "\n".join(f"서울특별시 | {i}월의 평균 기온과 강수량 | 섭씨 12도" for i in range(8))
HEADINGS = "\n".join(f"## 제{i}장 산책로를 걷는 사람들의 이야기 모음" for i in range(8))
CODE = "```\n" + by_words(prose(1), 40) + "\n```"
SHORT = "\n".join(["안녕하세요", "반갑습니다", "오늘 뭐 해", "그냥 있어", "밥 먹자", "좋아"])


@pytest.mark.parametrize("text", [VERSE, LIST, DIALOGUE, TABLE, HEADINGS, CODE, SHORT, prose(1)])
def test_what_has_lines_of_its_own_keeps_them(text: str) -> None:
    assert rejoin(text) == text


def test_headings_and_lists_between_wrapped_paragraphs_stay() -> None:
    one, two = prose(1), prose(2)
    text = f"제1장 산책\n\n{by_words(one, 50)}\n\n{LIST}\n\n{by_words(two, 50)}"
    assert rejoin(text) == f"제1장 산책\n\n{one}\n\n{LIST}\n\n{two}"


PIECES = st.sampled_from(
    [
        "가나다 라마바 사아자",
        "했다.",
        "- 가",
        "1. 나",
        '"말',
        "",
        "  ",
        "제1조 뜻",
        "a b c",
        "가" * 40,
        "가나다라마바사아 " * 4,
        "| 표",
        "```",
    ]
)


@given(st.lists(PIECES, max_size=14).map("\n".join))
def test_idempotent_on_pieces(text: str) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("kodata.text.spacing.space_between", lambda a, b: len(a + b) % 2 == 0)
        text = normalise(text)
        once = rejoin(text)
        assert rejoin(once) == once and normalise(once) == once


@given(st.integers(0, 10**6), st.integers(26, 100), st.booleans(), st.integers(0, 3))
def test_idempotent_on_wrapped_prose(seed: int, columns: int, letters: bool, drop: int) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("kodata.text.spacing.space_between", lambda a, b: len(a + b) % 2 == 0)
        wrap = by_letters if letters else by_words
        text = normalise("\n\n".join(wrap(prose(seed + i, 1 + i), columns) for i in range(4))[drop:])
        once = rejoin(text)
        assert rejoin(once) == once and normalise(once) == once
        assert "".join(once.split()) == "".join(text.split())  # nothing but blanks changes


# --- Hanyang PUA


def test_private_use_old_hangul() -> None:
    text = "나랏말\uf53a 글"
    found, left = hanyang.to_jamo(text)
    if find_spec("hypua2jamo"):
        assert (found, left) == ("나랏말\u1112\u119e\u11ab 글", 0)
    else:
        assert (found, left) == (text, 1)
    assert hanyang.to_jamo(found) == (found, left)
    assert hanyang.to_jamo("가나다 \u1112\u119e\u11ab") == ("가나다 \u1112\u119e\u11ab", 0)


def test_without_the_table_they_stay_and_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hanyang, "_table", lambda: None)
    assert hanyang.to_jamo("글\uf53a\ue0bc글") == ("글\uf53a\ue0bc글", 2)


def test_in_a_cleaning_run(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Books are joined and old Hangul mapped, once and for all: cleaning the output again changes nothing."""
    import json

    from kodata.doc import Corpus
    from kodata.pipeline import CleanConfig, clean

    text = by_words(prose(5, 14), 50)
    (tmp_path / "in.jsonl").write_text(
        "".join(
            json.dumps({"id": kind, "text": f"{text}\n\n글\uf53a 이다.", "kind": kind}) + "\n"
            for kind in ("book", "web", "verse")
        )
    )
    result = clean([str(tmp_path / "in.jsonl")], output=tmp_path / "one", config=CleanConfig(), workers=1)
    made = {d.id: d.text for d in Corpus(tmp_path / "one")}
    assert (
        made["book"].startswith(prose(5, 14) + "\n")
        and made["web"].startswith(text)
        and made["verse"].startswith(text)
    )
    assert result.summary["rejoined"] == 1 and result.summary["hanyang_pua"] == (
        0 if find_spec("hypua2jamo") else 2
    )
    clean([str(tmp_path / "one")], output=tmp_path / "two", config=CleanConfig(), workers=1)
    assert {d.id: d.text for d in Corpus(tmp_path / "two")} == made
