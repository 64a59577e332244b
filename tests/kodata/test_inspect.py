"""`kodata inspect` on a run, on a shard, on raw input."""

import json
from pathlib import Path

import pytest

from kodata.inspect import InspectConfig, inspect
from kodata.pipeline import CleanConfig, clean
from kodata.run.errors import UserError

TEXT = "오늘은 날씨가 맑아서 동네 도서관까지 걸어가 책을 빌려 왔다. 돌아오는 길에 시장에서 사과를 샀다."


ENGLISH = (
    "The old library on the hill opened again last spring after two years of repairs. People from the village came to see the "
    "reading room, and the children were given a shelf of their own. Nobody expected so many visitors on the first day."
)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    rows = [
        {"id": "좋은글", "text": TEXT},
        {
            "id": "나쁜글",
            "text": "山上的老圖書館經過兩年的修繕今年春天重新開放村裡的人都來看閱覽室孩子們也有了自己的書架第一天就來了很多人",
        },
        {"no": 1},
        {"id": "번호", "text": f"{TEXT} 문의는 010-2345-6789 로 하면 된다.", "source": "둘째"},
        {"id": "영어", "text": ENGLISH, "source": "둘째"},
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(r, ensure_ascii=False) for r in rows))
    clean([str(tmp_path / "a.jsonl")], output=tmp_path / "out", config=CleanConfig(lang="ko,en"), workers=1)
    return tmp_path / "out"


def shown(path: Path, **config: object) -> str:
    return "\n".join(inspect(str(path), config=InspectConfig(**config)).lines)  # type: ignore[arg-type]


def test_overview(run: Path) -> None:
    text = shown(run)
    assert "좋은글" in text and "language" in text and "나쁜글" in text and "한계 (limit) 0.3" in text


def test_parts(run: Path) -> None:
    assert TEXT in shown(run, show="docs") and "나쁜글" not in shown(run, show="docs")
    assert "나쁜글" in shown(run, reason="language")
    assert "language" in shown(run, show="border")
    assert "a.jsonl:3" in shown(run, show="failed")
    assert TEXT in shown(run, id="좋은글")


def test_by_source_language_and_personal_data(run: Path) -> None:
    text = shown(run, show="docs", source="둘째")
    assert "번호" in text and "좋은글" not in text
    assert ENGLISH in shown(run, lang="en") and "docs-en" in shown(run) and ENGLISH in shown(run, id="영어")
    text = shown(run, show="pii")
    assert "phone: …" in text and "문의는 [전화번호] 로" in text and "번호" in text and "010-2345" not in text
    assert "no personal data" in shown(run, show="pii", source="a.jsonl")
    for wrong in ({"source": "셋째"}, {"lang": "fr"}):
        with pytest.raises(UserError):
            shown(run, show="docs", **wrong)


def test_raw_input(run: Path, tmp_path: Path) -> None:
    text = shown(tmp_path / "a.jsonl")
    assert "jsonl 1" in text and TEXT in text and "본문 열쇠" in text


def test_mistakes(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        shown(run, reason="langage")
    assert "language" in error.value.help
    with pytest.raises(UserError, match="no document with this id"):
        shown(run, id="없음")
    with pytest.raises(UserError, match="no such file"):
        shown(tmp_path / "nothing")
