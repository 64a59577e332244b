"""AI Hub data sets of dialogue and speech."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from kodata.sources.aihub.grouping import grouped, turned
from kodata.sources.aihub.item import TaskItem, Text, Turn
from kodata.sources.aihub.layout import Layout, Reading
from kodata.sources.aihub.marks import spoken, unmasked
from kodata.sources.aihub.paths import first, string, strings
from kodata.sources.aihub.talk import by_key, dialogue, role_of, script, turns_at
from kodata.sources.aihub.written import meta_of, summary_item


def _participants(item: Any, path: str) -> list[Turn]:
    return turns_at(item, path, by_key("participantID", "participantId", "speaker"), ("utterance",))


def _dialogue_summary(item: Any, root: Any) -> Iterator[Text | TaskItem]:
    meta = meta_of(item, {"topic": "header.dialogueInfo.topic", "category": "header.dialogueInfo.type"})
    id = first(item, "header.dialogueInfo.dialogueID")
    turns = _participants(item, "body.dialogue[]")
    yield from dialogue(turns, id, meta, topic=meta.get("topic", ""))
    for task in summary_item(id, script(turns), unmasked(first(item, "body.summary")), "abstractive", meta):
        task.fields["turns"] = [t.to_dict() for t in turns]
        yield task


def _messenger(item: Any, root: Any) -> Iterator[Text | TaskItem]:
    meta = meta_of(
        item, {"topic": "header.dialogueInfo.topic|header.dialogueInfo.single_topic|header.dialogueInfo.multi_topic",
               "category": "header.dialogueInfo.type"})  # fmt: skip
    id = first(item, "header.dialogueInfo.dialogueID", "header.dialogueInfo.dialogueId")
    yield from dialogue(_participants(item, "body[]"), id, meta, topic=meta.get("topic", ""))


_NUMBERED = re.compile(r"^\s*([0-9]{1,2}|[A-Z])\s*[:.]\s*")


def _topical(item: Any, root: Any) -> Iterator[Text | TaskItem]:
    """020, 021: `lines`, or the same as one text of lines "1 : …"."""
    notes = item["annotations"]
    meta = meta_of(
        item, {"title": "medianame", "category": "category", "date": "date", "topic": "annotations.subject"}
    )
    id = first(item, "id", "filename")
    turns = turns_at(notes, "lines[]", by_key("speaker", "speaker_id"), ("norm_text", "text"), _unnumbered)
    if not turns:
        for line in first(notes, "text").splitlines():
            found = _NUMBERED.match(line)
            if words := unmasked(line[found.end() :] if found else line):
                turns.append(Turn(found[1] if found else "", words))
    yield from dialogue(turns, id, meta, topic=meta.get("topic", ""))


def _unnumbered(text: str) -> str:
    return unmasked(_NUMBERED.sub("", text))


def _emotional(item: Any, root: Any) -> Iterator[Text | TaskItem]:
    """HS01 is what a human says, SS01 what the system answers."""
    content = item["talk"]["content"]
    turns = []
    for name in sorted((n for n in content if re.fullmatch(r"[HS]S\d+", n)), key=lambda n: (n[2:], n[0])):
        if words := unmasked(string(content[name], name)):
            turns.append(
                Turn("사람" if name[0] == "H" else "시스템", words, "user" if name[0] == "H" else "assistant")
            )
    meta = meta_of(
        item,
        {
            "situation": "profile.emotion.situation[]",
            "emotion": "profile.emotion.type|profile.emotion.emotion-id",
        },
    )
    yield from dialogue(
        turns, first(item, "talk.id.talk-id", "talk.id.profile-id"), meta, situation=meta.get("situation", "")
    )


_ENDED = re.compile(r"[\[(<]?\s*(대화\s?종료|세션\s?종료|종료|end)\s*[\])>]?\.?", re.I)


def _multi_turn(item: Any, root: Any) -> Iterator[Text | TaskItem]:
    """012, 044, 045, 046: utterances of personas; an utterance that only ends the session goes."""
    meta = meta_of(item, {"topic": "info.topic", "keyword": "info.keyword", "situation": "info.situation"})
    turns = [
        turn
        for turn in turns_at(item, "utterances[]", by_key("role", "persona_id", "speaker_id", "speaker"), ("text", "utterance"), roles=True)
        if not _ENDED.fullmatch(turn.text)
    ]  # fmt: skip
    persona: dict[str, list[str]] = {}
    for who in item["info"].get("personas") or []:
        if isinstance(who, Mapping):
            said = strings(who, "persona[].profile") if isinstance(who.get("persona"), list) else []
            persona[string(who.get("persona_id"), "persona_id")] = said
    yield from dialogue(
        turns, first(item, "info.id", "id", "info.dialog_id"), meta,
        topic=meta.get("topic", ""), situation=meta.get("situation", ""), persona={k: v for k, v in persona.items() if v},
    )  # fmt: skip


def _sessions(item: Any, root: Any) -> Iterator[Text | TaskItem]:
    """141: several sessions of the same two people, each a dialogue."""
    base = first(item, "FileInfo.filename", "id")
    meta = meta_of(item, {"topic": "topicInfo.topicTitle"})
    for n, session in enumerate(item["sessionInfo"], 1):
        turns = turns_at(session, "dialog[]", by_key("speaker"), ("utterance", "text"))
        id = first(session, "sessionID", "sessionId")
        for out in dialogue(turns, f"{base}#{id or n}" if base else id, meta, topic=meta.get("topic", "")):
            out.place = f"s{n}"
            yield out


def _call_centre(item: Any, root: Any) -> Iterator[Text | TaskItem]:
    """022: a row is one utterance, in one of four columns; `화자` says whose."""
    rows = item["rows"]
    columns = ("고객질문(요청)", "상담사질문(요청)", "고객답변", "상담사답변")
    turns = []
    for row in rows:
        said = " ".join(t for c in columns if (t := string(row.get(c), c)))
        who = string(row.get("화자"), "화자")
        if words := unmasked(said):
            turns.append(Turn(who, words, role_of(who)))
    meta = meta_of(rows[0], {"category": "카테고리", "domain": "도메인"})
    yield from dialogue(turns, first(rows[0], "대화셋일련번호"), meta, topic=meta.get("category", ""))


def _table_talk(speaker: tuple[str, ...], text: str, id: str = "", **names: str) -> Reading:
    def read(item: Any, root: Any) -> Iterator[Text | TaskItem]:
        rows = item["rows"]
        turns = turns_at(item, "rows[]", by_key(*speaker), (text,), roles=True)
        meta = meta_of(rows[0], names)
        yield from dialogue(turns, first(rows[0], id) if id else "", meta, topic=meta.get("category", ""))

    return read


def speech(
    path: str,
    text: tuple[str, ...],
    speaker: tuple[str, ...] = ("speaker_id", "speaker", "speakerId"),
    id: str = "id",
) -> Reading:
    """Transcribed speech: the spelling is kept, sounds go, what one speaker says on end is one line."""

    def read(item: Any, root: Any) -> Iterator[Text | TaskItem]:
        meta = meta_of(item, {"title": "metadata.title", "topic": "metadata.topic|typeInfo.subcategory", "date": "metadata.date",
                              "category": "metadata.category|typeInfo.category"})  # fmt: skip
        turns = turns_at(item, path, by_key(*speaker), text, spoken)
        yield from dialogue(
            turns, first(item, *id.split("|")), meta, topic=meta.get("topic", ""), joined=True
        )

    return read


def _dialect(item: Any, root: Any) -> Iterator[Text | TaskItem]:
    """What was said, in the dialect; beside it the same in the standard language."""
    yield from speech("utterance[]", ("dialect_form", "form"))(item, root)
    for n, utterance in enumerate(item["utterance"], 1):
        dialect, standard = (
            spoken(first(utterance, "dialect_form")),
            spoken(first(utterance, "standard_form")),
        )
        if dialect and standard and dialect != standard:
            fields = {
                "source": dialect,
                "target": standard,
                "source_language": "방언",
                "target_language": "표준어",
                "draft": "",
            }
            yield TaskItem("translation", first(utterance, "id"), fields, {}, f"u{n}")


def transcript(*paths: str) -> Reading:
    """One recording, one text."""

    def read(item: Any, root: Any) -> Iterator[Text | TaskItem]:
        text = next((t for path in paths for s in strings(item, path) if (t := spoken(s))), "")
        if text:
            yield Text(text, first(item, "id", "fileName", "file_name") or None)

    return read


def _tagged_talk(item: Any, root: Any) -> Iterator[Text | TaskItem]:
    turns = turns_at(item, "Conversation[]", by_key("SpeakerNo"), ("Text",), spoken)
    yield from dialogue(turns, first(item, "File.FileName", "id"), {}, joined=True)


LAYOUTS = (
    Layout(name="aihub.dialogue_summary", title="한국어 대화 요약", kind="dialogue", items=("data[]",),
           needs=("body.dialogue[].utterance", "header"), read=_dialogue_summary),
    Layout(name="aihub.messenger", title="한국어 SNS", kind="dialogue", items=("data[]",), needs=("body[].utterance", "header"),
           read=_messenger),
    Layout(name="aihub.topical_dialogue", title="주제별·용도별 일상 대화", kind="dialogue", items=("info[]",),
           needs=("annotations.lines:list",), read=_topical),
    Layout(name="aihub.topical_dialogue", title="주제별·용도별 일상 대화", kind="dialogue", items=("info[]",),
           needs=("annotations.text:str", "mediatype"), read=_topical),
    Layout(name="aihub.emotional_dialogue", title="감성 대화", kind="dialogue", needs=("talk.content:dict", "profile"), read=_emotional),
    Layout(name="aihub.multi_turn", title="SNS 멀티턴·페르소나·지식검색·공감형 대화", kind="dialogue", needs=("utterances[].text", "info:dict"),
           read=_multi_turn),
    Layout(name="aihub.multi_session", title="한국어 멀티세션 대화", kind="dialogue", needs=("sessionInfo[].dialog:list",), read=_sessions),
    Layout(name="aihub.call_centre", title="민원(콜센터) 질의-응답", kind="dialogue", needs=("화자", "대화셋일련번호"), read=_call_centre,
           group=grouped(turned("문장번호", "대화셋일련번호"))),
    Layout(name="aihub.shop_orders", title="소상공인 고객 주문 질의-응답", kind="dialogue", needs=("발화문", "상담내순번"),
           read=_table_talk(("발화자", "화자"), "발화문", "상담번호", category="카테고리"), group=grouped(turned("상담내순번", "상담번호"))),
    Layout(name="aihub.korean_dialogue", title="한국어 대화", kind="dialogue", needs=("SPEAKER", "SENTENCE", "SENTENCEID"),
           read=_table_talk(("SPEAKER",), "SENTENCE", "DIALOGUEID", category="CATEGORY"), group=grouped(turned("SENTENCEID"))),
    Layout(name="aihub.dialect", title="한국어 방언 발화", kind="spoken", needs=("utterance[].dialect_form",), read=_dialect),
    Layout(name="aihub.speech", title="방송·회의·상담 음성 전사", kind="spoken", needs=("utterance[].original_form",),
           lacks=("utterance[].dialect_form",),
           read=speech("utterance[]", ("original_form", "form"))),
    Layout(name="aihub.speech", title="방송·회의·상담 음성 전사", kind="spoken", needs=("utterance[].form",),
           lacks=("utterance[].original_form", "utterance[].dialect_form"),
           read=speech("utterance[]", ("form",))),
    Layout(name="aihub.meeting_speech", title="회의·강의·상담 음성 전사", kind="spoken", needs=("dialogs[].text",),
           read=speech("dialogs[]", ("text",))),
    Layout(name="aihub.transcription", title="음성 전사", kind="spoken", needs=("Transcription.LabelText",), read=transcript("Transcription.LabelText")),
    Layout(name="aihub.transcription", title="비대면 진료 음성 전사", kind="spoken", needs=("전사정보.LabelText",), read=transcript("전사정보.LabelText")),
    Layout(name="aihub.transcription", title="음성 전사 (ETRI)", kind="spoken", needs=("transcript:str",), lacks=("title",), only=True, items=("",),
           read=transcript("transcript"), owner=""),
    Layout(name="aihub.tagged_talk", title="감정이 태깅된 자유대화", kind="spoken", needs=("Conversation[].Text", "Conversation[].SpeakerNo"),
           read=_tagged_talk),
)  # fmt: skip
