"""Korean text made for tests: hand-written sentence patterns, filled deterministically. No text of others."""

import json
import random
from pathlib import Path

PLACES = ["부산", "강릉", "전주", "제주", "춘천", "목포", "안동", "여수", "수원", "통영"]
PEOPLE = [
    "할머니",
    "이웃집 아저씨",
    "새내기 선생님",
    "빵집 주인",
    "도서관 사서",
    "우리 반 친구",
    "막내 고모",
    "마을 이장",
]
THINGS = [
    "감자",
    "우산",
    "낡은 책",
    "자전거",
    "편지",
    "국수",
    "사과나무",
    "작은 라디오",
    "파란 대문",
    "고양이",
]
TIMES = [
    "아침마다",
    "지난 봄에",
    "비가 오는 날이면",
    "해가 지고 나서",
    "방학이 시작되자",
    "토요일 오후에",
    "첫눈이 내리던 날",
]
ENDS = [
    "천천히 골목을 걸었다.",
    "오래된 이야기를 들려주었다.",
    "따뜻한 차를 끓여 내놓았다.",
    "창문을 열고 바람을 맞았다.",
    "일기에 한 줄을 적어 두었다.",
    "시장에 들러 반찬거리를 샀다.",
    "아이들에게 노래를 가르쳤다.",
]
PATTERNS = [
    "{time} {place}의 {person}은(는) {thing} 옆에서 {end}",
    "{person}이(가) {time} {place}에 가서 {thing}을(를) 보더니 {end}",
    "{place}에서는 {time} {thing} 때문에 사람들이 모였고, {person}도 {end}",
    "그날 {person}은(는) {thing}을(를) 손에 들고 {place} 바닷가에서 {end}",
    "{time} 나는 {person}과(와) 함께 {thing}을(를) 고치고 나서 {end}",
]
CLOSINGS = [
    "돌아오는 길에는 별이 유난히 많았다.",
    "사람들은 그 일을 두고두고 이야기했다.",
    "그래서 나는 그 계절을 좋아하게 되었다.",
    "이튿날 아침에도 같은 소리가 들려왔다.",
]


def with_josa(text: str) -> str:
    """은(는) and the like by the final consonant of the syllable before."""
    for pair, closed, open_ in (
        ("은(는)", "은", "는"),
        ("이(가)", "이", "가"),
        ("을(를)", "을", "를"),
        ("과(와)", "과", "와"),
    ):
        while pair in text:
            at = text.index(pair)
            final = (ord(text[at - 1]) - 0xAC00) % 28 if "가" <= text[at - 1] <= "힣" else 0
            text = text[:at] + (closed if final else open_) + text[at + len(pair) :]
    return text


def sentence(rng: random.Random) -> str:
    """One made sentence."""
    return with_josa(
        rng.choice(PATTERNS).format(
            time=rng.choice(TIMES),
            place=rng.choice(PLACES),
            person=rng.choice(PEOPLE),
            thing=rng.choice(THINGS),
            end=rng.choice(ENDS),
        )
    )


def documents(n: int, seed: int = 0) -> list[dict]:
    """``n`` raw records with text of 4 to 12 sentences in two or three paragraphs."""
    rng = random.Random(seed)
    made = []
    for i in range(n):
        paragraphs = [
            " ".join(sentence(rng) for _ in range(rng.randint(2, 4))) for _ in range(rng.randint(2, 3))
        ]
        text = "\n".join([*paragraphs, rng.choice(CLOSINGS)])
        made.append(
            {"id": f"made-{i:05d}", "text": text, "source": "made", "licence": "CC0-1.0", "kind": "book"}
        )
    return made


def chats(n: int, seed: int = 0) -> list[dict]:
    """``n`` question-and-answer records in the form ``prompt`` / ``response``."""
    rng = random.Random(seed)
    made = []
    for _ in range(n):
        place, thing, person = rng.choice(PLACES), rng.choice(THINGS), rng.choice(PEOPLE)
        made.append(
            {
                "prompt": f"{place}에서 {person}에게 {thing} 이야기를 하려면 어떻게 할까요? ({rng.randint(1, 9999)})",
                "response": with_josa(
                    f"먼저 {thing}을(를) 보여 주고 {place}의 날씨부터 물어보면 {person}도 반가워합니다."
                ),
            }
        )
    return made


def write_jsonl(path: Path, records: list[dict]) -> Path:
    """Write records as JSONL; returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records), encoding="utf-8")
    return path
