"""`kodata inspect` on a run, on a shard, on raw input."""

import json
from pathlib import Path

import pytest

from kodata.inspect import InspectConfig, inspect
from kodata.pipeline import clean
from kodata.run.errors import UserError

TEXT = "오늘은 날씨가 맑아서 동네 도서관까지 걸어가 책을 빌려 왔다. 돌아오는 길에 시장에서 사과를 샀다."


@pytest.fixture
def run(tmp_path: Path) -> Path:
    rows = [
        {"id": "좋은글", "text": TEXT},
        {"id": "나쁜글", "text": "Nothing in this line is written in Korean."},
        {"no": 1},
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(r, ensure_ascii=False) for r in rows))
    clean([str(tmp_path / "a.jsonl")], output=tmp_path / "out", workers=1)
    return tmp_path / "out"


def shown(path: Path, **config: object) -> str:
    return "\n".join(inspect(str(path), config=InspectConfig(**config)).lines)  # type: ignore[arg-type]


def test_overview(run: Path) -> None:
    text = shown(run)
    assert "좋은글" in text and "not_korean" in text and "나쁜글" in text and "한계 (limit) 0.3" in text


def test_parts(run: Path) -> None:
    assert TEXT in shown(run, show="docs") and "나쁜글" not in shown(run, show="docs")
    assert "나쁜글" in shown(run, reason="not_korean")
    assert "not_korean" in shown(run, show="border")
    assert "a.jsonl:3" in shown(run, show="failed")
    assert TEXT in shown(run, id="좋은글")


def test_raw_input(run: Path, tmp_path: Path) -> None:
    text = shown(tmp_path / "a.jsonl")
    assert "jsonl 1" in text and TEXT in text and "본문 열쇠" in text


def test_mistakes(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        shown(run, reason="not_korea")
    assert "not_korean" in error.value.help
    with pytest.raises(UserError, match="no document with this id"):
        shown(run, id="없음")
    with pytest.raises(UserError, match="no such file"):
        shown(tmp_path / "nothing")
