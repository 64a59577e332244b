"""Languages, routing, toxicity, cues of translation and spacing. All texts are written for these tests."""

import json
from pathlib import Path

import pytest

from kodata.doc import Corpus, read_records
from kodata.lang import asked, by_model, is_code, language
from kodata.licence import known, name_of
from kodata.pipeline import CleanConfig, clean
from kodata.pipeline.route import output_of, route
from kodata.rules import PROFILES, judge
from kodata.run.errors import UsageError
from kodata.signals import signals
from kodata.text import measure, normalise
from kodata.toxicity import toxicity

KOREAN = "오늘은 날씨가 맑아서 동네 도서관까지 걸어가 책을 빌려 왔다. 돌아오는 길에 시장에서 사과를 샀다."
ENGLISH = (
    "The old library on the hill opened again last spring after two years of repairs. People from the village came to see the "
    "reading room, and the children were given a shelf of their own. Nobody expected so many visitors on the first day."
)
GERMAN = "Die alte Bibliothek auf dem Hügel wurde im Frühjahr wieder eröffnet. Viele Leute aus dem Dorf kamen, um den Lesesaal zu sehen."
JAPANESE = "丘の上の古い図書館は、二年の修理のあと、この春に再び開きました。村の人々が読書室を見に来ました。子どもたちには専用の本棚が用意されました。"
CHINESE = "山上的老圖書館經過兩年的修繕，今年春天重新開放。村裡的人都來看閱覽室，孩子們也有了自己的書架。第一天就來了很多人。"
MIXED = "Python 의 list comprehension 은 for loop 를 한 줄로 적는 syntax 이다. map, filter, reduce function 보다 readable 하지만 nested loop 에서는 그렇지 않다. Generator expression 은 memory 를 아낀다."
CODE = "import os\n\n\ndef walk(path):\n    for name in os.listdir(path):\n        full = os.path.join(path, name)\n        if os.path.isdir(full):\n            walk(full)\n    return None\n"
JAVA = "public class A {\n  private int n;\n  public A(int n) {\n    this.n = n;\n  }\n  int twice() {\n    return 2 * n;\n  }\n}\n"
KOREAN_CODE = "# 폴더를 걷는다\ndef walk(path):  # 길\n    names = os.listdir(path)\n    for name in names:\n        print(name)\n    return names\n"
TUTORIAL = "폴더를 걷는 함수를 만들어 봅시다. 먼저 모듈을 불러옵니다.\n\n```python\nimport os\n\ndef walk(path):\n    return os.listdir(path)\n```\n\n이제 함수를 불러 결과를 확인합니다."


def label(text: str) -> str:
    text = normalise(text)
    found = measure(text)
    return route(
        found, text, "web", judge(found, text, PROFILES["web"]), asked("ko,en,de,ja,zh,code")
    ).language


@pytest.mark.parametrize(
    ("text", "expected"),
    [(KOREAN, "ko"), (ENGLISH, "en"), (GERMAN, "de"), (JAPANESE, "ja"), (CHINESE, "zh"), (MIXED, "ko"), (CODE, "code"), (JAVA, "code"),
     (KOREAN_CODE, "code"), (TUTORIAL, "ko"), ("大韓民國은 民主共和國이다. 主權은 國民에게 있고 모든 權力은 國民으로부터 나온다.", "ko"),
     ("12345 67890", "")],
)  # fmt: skip
def test_the_language_of_a_document(text: str, expected: str) -> None:
    assert label(text) == expected


def test_scripts_decide_before_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(text: str) -> str:
        raise AssertionError("the model was asked")

    monkeypatch.setattr("kodata.lang.by_model", never)
    for text in (KOREAN, JAPANESE, CHINESE, CODE):
        label(text)
    found = measure(ENGLISH)  # with only ko wanted nothing but Hangul is looked at
    drop = judge(found, ENGLISH, PROFILES["web"])
    assert route(found, ENGLISH, "web", drop, ("ko",)) == (
        "",
        "web",
        drop.__class__("language", 0.0, 0.3, "language"),
    )


def test_the_model_reads_prose_not_code() -> None:
    assert by_model("```\n가나다라 마바사\n```\n" + ENGLISH) == "en" and by_model("") == "und"
    assert language(measure("12 34"), "12 34") == "und"


def test_programs_are_not_prose() -> None:
    assert (
        is_code(CODE)
        and is_code(JAVA)
        and not is_code(ENGLISH)
        and not is_code(TUTORIAL)
        and not is_code(KOREAN)
    )
    assert not is_code(
        "제1조(목적) 이 조례는 {운영}을 정한다;\n제2조(정의) 뜻은 다음과 같다.\n1. 도서관\n2. 이용자"
    )


def test_asked() -> None:
    assert asked("ko") == ("ko",) and asked("code, en,ko") == ("ko", "code", "en")
    for bad in ("en", "", "ko,english"):
        with pytest.raises(UsageError):
            asked(bad)
    with pytest.raises(UsageError):
        CleanConfig(lang="kr")
    assert output_of("ko") == "docs" and output_of("en") == "docs-en" and output_of("") == "docs"


def test_other_languages_get_their_own_output(tmp_path: Path) -> None:
    texts = [
        KOREAN,
        ENGLISH,
        CODE,
        GERMAN,
        ENGLISH[:66],
        KOREAN,
        "Call 010-2345-6789 today. " + ENGLISH,
        JAPANESE,
    ]
    lines = [
        json.dumps({"id": f"글{i % 3}", "text": t, "kind": "web"}, ensure_ascii=False)
        for i, t in enumerate(texts)
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    out = tmp_path / "out"
    result = clean([str(tmp_path / "a.jsonl")], output=out, config=CleanConfig(lang="ko,en,code"), workers=1)
    facts = result.summary
    assert facts["in"] == 8 and facts["kept"] == 5 and facts["dropped"] == 3
    assert [d.text for d in Corpus(out)] == [KOREAN, KOREAN]
    english = list(Corpus(out / "docs-en"))
    assert [d.id for d in english] == ["글1", "글0"] and all(d.meta["language"] == "en" for d in english)
    assert english[1].text.startswith("Call [전화번호]")
    assert [d.text for d in Corpus(out / "docs-code")] == [normalise(CODE)]
    assert {r["drop"]["reason"] for f in (out / "dropped").glob("*") for _, r in read_records(f)} == {
        "language",
        "too_short",
    }
    (entry,) = [r for f in (out / "pii").glob("*") for _, r in read_records(f)]
    assert entry["in"] == "docs-en" and entry["id"] == "글0"
    assert facts["languages"]["en"]["kept"] == 2 and any("docs-en" in line for line in result.lines)
    only = clean([str(tmp_path / "a.jsonl")], output=tmp_path / "ko", workers=1).summary
    assert (
        only["kept"] == 2
        and only["reasons"] == {"language": 6}
        and not list((tmp_path / "ko").glob("docs-*"))
    )


@pytest.mark.parametrize(
    "text",
    [
        "야 이 씨발 꺼져",
        "시1발 뭐야",
        "씨.발",
        "ㅅㅂ 진짜",
        "ㅅㅣㅂㅏㄹ 뭐냐",
        "병신 같은",
        "ㅄ들",
        "tlqkf",
        "이 개새끼야",
        "한녀 맘충들",
        "ㅂㅅ",
    ],
)
def test_toxic(text: str) -> None:
    assert toxicity(text, len(text.split())) > 0.2


@pytest.mark.parametrize(
    "text",
    [KOREAN, "우리의 시발점은 여기다", "새끼손가락을 걸고", "병신년 가을에", "고기를 씹는다", "그 말을 곱씹었다", "염소 새끼 한 마리", "ㅋㅋㅋㅋ ㅇㅇ", "피고 실시발명의 구성", "쓰레기통을 비웠다",
     "집으로 돌아가리라", "목을 졸라 살해한", "눈을 뜨고 보지 못하고", "어린이보호구역", "출자지분의 이전"],
)  # fmt: skip
def test_not_toxic(text: str) -> None:
    assert toxicity(text, len(text.split())) == 0.0


def test_toxicity_is_a_score_not_a_drop(tmp_path: Path) -> None:
    rude = "아 씨발 이 영화는 정말 돈이 아까웠고 배우들도 " + KOREAN
    (tmp_path / "a.jsonl").write_text(
        "\n".join(json.dumps({"text": t}, ensure_ascii=False) for t in (rude, KOREAN))
    )
    clean([str(tmp_path / "a.jsonl")], output=tmp_path / "out", workers=1)
    first, second = Corpus(tmp_path / "out")
    assert 0 < first.meta["toxicity"] < 1 and "toxicity" not in second.meta
    clean([str(tmp_path / "a.jsonl")], output=tmp_path / "off", config=CleanConfig(toxicity=False), workers=1)
    assert "toxicity" not in next(iter(Corpus(tmp_path / "off"))).meta
    assert toxicity(rude + KOREAN * 50, 700) < toxicity(rude, 15)


TRANSLATED = (
    "당신의 새로운 제품에 오신 것을 환영합니다. 당신은 당신의 계정에 의해 제공되는 많은 기능을 가지고 있습니다. 그것은 시장에서 가장 큰 것 중 하나입니다. "
    "당신이 질문을 가지고 있다면, 그들은 당신을 돕기 위해 여기에 있습니다. 그것의 품질은 고객에 의해 높게 여겨집니다. 당신은 그것을 필요로 합니다. "
    "그들은 그것이 당신에게 많은 것을 의미한다는 것을 알고 있습니다. 부디 당신의 주문을 확인하십시오. 그것은 당신의 삶을 더 좋게 만드는 것 중 하나입니다."
)
TORN = "우리 는 오늘 아침 에 일찍 일어나서 마을 의 도서관 을 찾아갔다. 거리 에는 사람 들이 없었고 바람 만 세차게 불었다. 동생 은 학교 에서 친구 를 만났고 나는 시장 에서 사과 를 샀다. 우리 는 함께 점심 을 먹었다. 저녁 에는 모두 가족 의 품 으로 돌아왔다."  # fmt: skip


def test_turns_of_translation_and_torn_particles() -> None:
    def verdict(text: str, profile: str) -> str | None:
        text = normalise(text)
        drop = judge(measure(text), text, PROFILES[profile])
        return drop.reason if drop else None

    assert verdict(TRANSLATED, "web") == "translated" and verdict(TRANSLATED, "book") is None
    letter = (
        "당신에게 편지를 쓴다. 그것은 오래된 약속이었다. "
        + KOREAN
        + " 사과는 조금 시었지만 아이들은 맛있게 먹었고 남은 것으로는 잼을 만들어 이웃과 나누었다. 그녀는 그 맛을 오래 기억했다."
    )
    assert verdict(letter, "web") is None
    assert verdict(TORN, "web") == "lone_particles" and verdict(TORN, "verse") is None
    about_code = "`map` 는 함수이고 `filter` 는 조건이며 `x` 를 받아 `y` 를 돌려준다. " * 8
    assert signals(normalise(about_code), len(about_code.split())).lone == 0.0
    assert signals(KOREAN, 10) == (0.0, 0.0)


def test_licences() -> None:
    assert (
        known("MIT")
        and known("CC BY 4.0")
        and not any(map(known, ("", None, "unknown", "unverified: repo states none", "미상", "-", 3)))
    )
    assert {
        name_of(x)
        for x in ("CC BY-SA 4.0", "cc-by-sa-4.0", "CC-BY-SA 4.0", "Creative Commons BY-SA 4.0 International")
    } == {"CC-BY-SA-4.0"}
    assert (
        name_of("CC0") == name_of("cc-0 1.0") == "CC0-1.0"
        and name_of("CC BY-NC-ND 2.0 KR") == "CC-BY-NC-ND-2.0-KR"
    )
    assert name_of("MIT OR Apache-2.0") == "MIT OR Apache-2.0" and name_of(None) == "(모름, unknown)"
    assert name_of("unverified: 저장소") == "(모름, unknown) unverified: 저장소"


def test_require_licence_and_the_data_card(tmp_path: Path) -> None:
    rows = [
        {"text": KOREAN, "licence": "CC BY 4.0", "source": "가"}, {"text": KOREAN + " 전화 010-2345-6789", "licence": "unverified", "source": "나"},
        {"text": ENGLISH, "licence": "MIT", "source": "가"}, {"text": KOREAN, "source": "다"},
    ]  # fmt: skip
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(r, ensure_ascii=False) for r in rows))
    result = clean([str(tmp_path / "a.jsonl")], output=tmp_path / "out", workers=1)
    card = (tmp_path / "out" / "DATA_CARD.md").read_text()
    assert card.startswith("---\nlanguage:\n- ko\nlicense: other")
    for words in (
        "| 가 | 2 | 1 | 1 | 0 |",
        "CC-BY-4.0",
        "(모름, unknown) unverified",
        "| language |",
        "phone",
        "kodata clean",
        "datatrove",
        "--require-licence",
        "문서 3 개",
    ):
        assert words in card, words
    assert "010-2345" not in card
    assert json.loads((tmp_path / "out" / "pii.json").read_text()) == {
        "mode": "tag", "kept_kinds": ["public_phone"], "documents": 1, "counts": {"phone": 1}, "sources": {"나": {"phone": 1}},
    }  # fmt: skip
    strict = clean(
        [str(tmp_path / "a.jsonl")],
        output=tmp_path / "strict",
        config=CleanConfig(require_licence=True),
        workers=1,
    )
    assert strict.summary["kept"] == 1 and strict.summary["reasons"]["no_licence"] == 2
    assert "--require-licence`" not in (tmp_path / "strict" / "DATA_CARD.md").read_text()
    assert any("DATA_CARD.md" in line for line in result.lines)


def test_the_card_does_not_tell_the_key() -> None:
    from kodata.pipeline.card import command_of

    assert command_of(
        {"command": ["__main__.py", "clean", "a b", "--pii-seed", "1234", "-o", "x"]}
    ) == "kodata clean 'a b' --pii-seed '***' -o x".replace("'***'", "***")
    assert command_of({"command": ["ipykernel.py", "-f", "x"]}).startswith("kodata.clean(")
    assert "1234" not in command_of({"command": ["kodata", "clean", "--pii-seed=1234"]})
