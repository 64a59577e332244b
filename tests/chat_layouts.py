"""Every layout that `kodata sft` and `kodata dpo` read, one small file each: text written for these tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Q, A = "우리나라에서 가장 긴 강은 무엇인가요?", "압록강입니다."
Q2, A2 = "그 강은 어디로 흘러가나요?", "서해로 흘러갑니다."
BAD = "한강이라고 들었습니다만 잘 모르겠네요."
TEXT = "마을 어귀의 느티나무는 삼백 년을 살았다. 여름이면 그 아래에 평상이 놓이고 사람들이 모여든다."
SHORT = "느티나무 아래는 마을 사람들의 쉼터다."


def msg(role: str, content: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


ONE = [msg("user", Q), msg("assistant", A)]
TWO = [*ONE, msg("user", Q2), msg("assistant", A2)]
QAS = [
    {
        "id": "가-1",
        "question": "느티나무는 몇 해를 살았나?",
        "answers": [{"text": "삼백 년", "answer_start": 12}],
    },
    {"id": "가-2", "question": "여름이면 무엇이 놓이나?", "answers": [{"text": "평상", "answer_start": 30}]},
]
NODE = {"role": "assistant", "replies": []}

# name -> (suffix, the content of the file: rows of JSONL or the root of a JSON file, (question, answer) pairs that must come
# out in order). A question that is a part of the prompt is enough: tasks are worded.
SFT: dict[str, tuple[str, Any, list[tuple[str, str]]]] = {
    "prompt_response": (".jsonl", [{"prompt": Q, "response": A}], [(Q, A)]),
    "turns": (".jsonl", [{"id": "1", "turns": [f"사용자: {Q}", f"모델: {A}", f"사용자: {Q2}", f"모델: {A2}"]}], [(Q2, A2)]),
    "messages": (".jsonl", [{"messages": TWO}], [(Q2, A2)]),
    "prompt_completion": (".jsonl", [{"prompt": [msg("user", Q)], "completion": [msg("assistant", A)]}], [(Q, A)]),
    "alpaca": (".jsonl", [{"instruction": "강 이름을 답하라.", "input": Q, "output": A}], [(Q, A)]),
    "sharegpt": (".jsonl", [{"conversations": [{"from": "human", "value": Q}, {"from": "gpt", "value": A}]}], [(Q, A)]),
    "koalpaca_1.0": (".json", [{"instruction": Q, "input": "", "output": A}], [(Q, A)]),
    "koalpaca_1.1": (".jsonl", [{"instruction": Q, "output": A, "url": "https://kin.example/1"}], [(Q, A)]),
    "kullm": (".jsonl", [{"id": "dolly_1", "instruction": Q, "input": "nan", "output": A}], [(Q, A)]),
    "dolly": (".jsonl", [{"instruction": "언제 사람이 모이는가?", "context": TEXT, "response": "여름이다.", "category": "closed_qa"}],
              [(TEXT, "여름이다.")]),
    "oasst_tree": (".jsonl", [{"message_tree_id": "t", "tree_state": "ready", "prompt": {"message_id": "1", "role": "prompter", "text": Q, "lang": "ko",
        "replies": [{**NODE, "text": BAD, "rank": 1}, {**NODE, "text": A, "rank": 0, "replies": [
            {"role": "prompter", "text": Q2, "replies": [{**NODE, "text": A2, "rank": 0}]},
            {"role": "prompter", "text": "다른 강은요?", "replies": [{**NODE, "text": "두만강이 있습니다."}]}]}]}}],
        [(Q2, A2), ("다른 강은요?", "두만강이 있습니다.")]),
    "oasst_flat": (".jsonl", [
        {"message_id": "1", "parent_id": None, "message_tree_id": "1", "role": "prompter", "text": Q},
        {"message_id": "2", "parent_id": "1", "message_tree_id": "1", "role": "assistant", "text": BAD, "rank": 1},
        {"message_id": "3", "parent_id": "1", "message_tree_id": "1", "role": "assistant", "text": A, "rank": 0}], [(Q, A)]),
    "korquad": (".json", {"version": "1.0", "data": [{"title": "느티나무", "paragraphs": [{"context": TEXT, "qas": QAS}]}]},
                [(QAS[0]["question"], "삼백 년"), (QAS[1]["question"], "평상")]),
    "korquad_2": (".json", {"data": [{"title": "느티나무", "url": "u", "context": f"<html><p>{TEXT}</p></html>", "qas": [
        {"id": "1", "question": "누가 모이나?", "answer": {"text": "<b>사람들</b>", "html_answer_text": "x"}}]}]}, [(TEXT, "사람들")]),
    "klue_mrc": (".json", {"version": "v1", "data": [{"title": "느티나무", "news_category": "문화", "source": "글", "paragraphs": [
        {"context": TEXT, "qas": [{"guid": "g", "question": "겨울에는 무엇이 놓이나?", "is_impossible": True, "answers": [], "question_type": 3}]}]}]},
        [("겨울에는 무엇이 놓이나?", "")]),
    "mrc_row": (".jsonl", [{"title": "느티나무", "context": TEXT, "question": "무엇이 삼백 년을 살았나?",
                            "answers": {"text": ["느티나무"], "answer_start": [7]}}], [(TEXT, "느티나무")]),
    "summary_row": (".jsonl", [{"document": TEXT, "summary": SHORT}], [(TEXT, SHORT)]),
    "translation_row": (".jsonl", [{"ko": "강이 흐른다.", "en": "The river flows."}], [("강이 흐른다.", "The river flows.")]),
    "extraction_row": (".jsonl", [{"text": "김 서방은 강릉에 산다.", "entities": [{"text": "김 서방", "label": "사람"}, {"text": "강릉", "label": "곳"}]}],
                       [("김 서방은 강릉에 산다.", "사람: 김 서방\n곳: 강릉")]),
    "aihub_dialogue_summary": (".json", {"data": [{
        "header": {"dialogueInfo": {"dialogueID": "d1", "topic": "나들이"}, "participantsInfo": [{"participantID": "P01"}, {"participantID": "P02"}]},
        "body": {"dialogue": [{"utteranceID": "U1", "participantID": "P01", "date": "2020-01-01", "time": "10:00:00", "utterance": "주말에 강에 갈까?"},
                              {"utteranceID": "U2", "participantID": "P02", "date": "2020-01-01", "time": "10:01:00", "utterance": "그래, 토요일에 가자."}],
                 "summary": "두 사람은 토요일에 강에 가기로 했다."}}]}, [("주말에 강에 갈까?", "두 사람은 토요일에 강에 가기로 했다.")]),
    "aihub_document_summary": (".json", {"name": "문서요약", "delivery_date": "2020", "documents": [{
        "id": "33", "category": "종합", "media_type": "online", "media_sub_type": "지역지", "media_name": "글밭", "size": "small", "char_count": "50",
        "publish_date": "2020-01-01", "title": "느티나무", "text": [[{"index": 0, "sentence": TEXT[:24], "highlight_indices": ""}],
        [{"index": 1, "sentence": TEXT[24:].strip(), "highlight_indices": ""}]], "extractive": [0, 1, None], "abstractive": [SHORT]}]},
        [("삼백 년을 살았다", SHORT)]),
    "aihub_book_summary": (".json", {"passage_id": "p1", "metadata": {"doc_id": "d", "doc_name": "마을", "kdc_label": "문학"}, "chapter": "1",
        "passage": TEXT, "summary": SHORT}, [(TEXT, SHORT)]),
    "aihub_paper_summary": (".json", [{"data": [{"doc_id": "a1", "doc_type": "논문", "title": "나무", "ipc": "", "summary_entire": [
        {"orginal_text": TEXT, "summary_text": SHORT}], "summary_section": []}]}], [(TEXT, SHORT)]),
    "aihub_mrc": (".json", {"data": [{"doc_id": 1, "doc_title": "느티나무", "doc_source": "글", "doc_published": 2020, "paragraphs": [{"context": TEXT, "context_id": 3, "qas": [
        {"question_id": "q1", "question": "느티나무는 몇 해를 살았나?", "is_impossible": False, "answers": {"text": "삼백 년", "answer_start": 12}}]}]}]},
        [("느티나무는 몇 해를 살았나?", "삼백 년")]),
    "aihub_emotion": (".json", [{"profile": {"persona-id": "P1", "persona": {"human": ["A02"]}, "emotion": {"emotion-id": "S06_D02", "type": "E18"}},
        "talk": {"id": {"profile-id": "Pro_1", "talk-id": "Pro_1_1"}, "content": {"HS01": "요즘 일이 많아서 힘들어.", "SS01": "일이 많아 지치셨군요.",
        "HS02": "응, 쉬고 싶어.", "SS02": "하루쯤 쉬어 보면 어떨까요?", "HS03": "", "SS03": ""}}}], [("응, 쉬고 싶어.", "하루쯤 쉬어 보면 어떨까요?")]),
    "aihub_sns": (".json", {"data": [{"header": {"dialogueInfo": {"dialogueID": "s1", "single_topic": "여행", "multi_topic": []},
        "participantsInfo": [{"participantID": "P01"}, {"participantID": "P02"}]}, "body": [
        {"utteranceID": "U1", "participantID": "P01", "utterance": "어디 가?"}, {"utteranceID": "U2", "participantID": "P02", "utterance": "바다 보러 가."}]}]},
        [("어디 가?", "바다 보러 가.")]),
    "aihub_health": (".jsonl", [
        {"disease_category": "눈", "disease_name": {"kor": "안구건조"}, "intention": "예방", "question": "눈이 마르지 않게 하려면 어떻게 하나요?"},
        {"disease_category": "눈", "disease_name": {"kor": "안구건조"}, "intention": "예방", "answer": {"intro": "자주 쉬어야 합니다.", "body": "물을 마십니다.", "conclusion": "심하면 진료를 받습니다."}}],
        [("눈이 마르지 않게 하려면 어떻게 하나요?", "자주 쉬어야 합니다.\n물을 마십니다.\n심하면 진료를 받습니다.")]),
    "aihub_71748_sft": (".json", {"data_info": [{"data_id": "1", "data_category": {"main": "자연", "middle": "강"}, "question_type": "서술", "question": Q, "answer": {"contents": A, "answer_count": 5}}]},
                        [(Q, A)]),
    "aihub_translation": (".json", {"data": [{"sn": "1", "ko": "배가 떠난다.", "en": "The boat leaves.", "mt": "The pear leaves.", "domain": "일상", "subdomain": "여행",
        "source_language": "ko", "target_language": "en"}]}, [("배가 떠난다.", "The boat leaves.")]),
}  # fmt: skip

# name -> (suffix, content, (question, chosen, rejected) in order)
DPO: dict[str, tuple[str, Any, list[tuple[str, str, str]]]] = {
    "pair": (".jsonl", [{"prompt": Q, "chosen": A, "rejected": BAD}], [(Q, A, BAD)]),
    "responses": (".jsonl", [{"prompt": Q, "chosen_response": A, "rejected_response": BAD}], [(Q, A, BAD)]),
    "handbook": (".jsonl", [{"prompt": Q, "chosen": [*ONE[:1], msg("assistant", A)], "rejected": [*ONE[:1], msg("assistant", BAD)],
                             "score_chosen": 8.5, "score_rejected": 3.0}], [(Q, A, BAD)]),
    "hh": (".jsonl", [{"chosen": f"\n\nHuman: {Q}\n\nAssistant: {A}", "rejected": f"\n\nHuman: {Q}\n\nAssistant: {BAD}"}], [(Q, A, BAD)]),
    "ultrafeedback": (".jsonl", [{"instruction": Q, "completions": [{"model": "ㄱ", "response": BAD, "overall_score": 3.5},
        {"model": "ㄴ", "response": A, "overall_score": 8.0}, {"model": "ㄷ", "response": "강이요.", "overall_score": 5.0}]}], [(Q, A, BAD)]),
    "magpie": (".jsonl", [{"uuid": "u", "instruction": Q, "responses": [BAD, A], "rewards_armorm": [{"score": 0.1}, {"score": 0.16}]}], [(Q, A, BAD)]),
    "ranks": (".jsonl", [{"question": Q, "answers": [{"text": BAD, "rank": 3}, {"text": A, "rank": 1}, {"text": "강이요.", "rank": 2}]}], [(Q, A, BAD)]),
    "arena": (".jsonl", [{"question_id": "7", "conversation_a": [*ONE[:1], msg("assistant", BAD)], "conversation_b": ONE, "winner": "model_b", "turn": 1}], [(Q, A, BAD)]),
    "votes": (".jsonl", [{"prompt": Q, "response_a": A, "response_b": BAD, "winner_model_a": 1, "winner_model_b": 0, "winner_tie": 0}], [(Q, A, BAD)]),
    "helpsteer": (".jsonl", [{"prompt": Q, "response_1": A, "response_2": BAD, "preference_strength": -2}], [(Q, A, BAD)]),
    "shp": (".jsonl", [{"history": Q, "human_ref_A": BAD, "human_ref_B": A, "labels": 0}], [(Q, A, BAD)]),
    "rated_rows": (".json", [{"question": Q, "response": BAD, "acceptable?": 0}, {"question": Q2, "response": A2, "acceptable?": 1},
                             {"question": Q, "response": A, "acceptable?": 1}, {"question": Q2, "response": "몰라요.", "acceptable?": 0}], [(Q, A, BAD), (Q2, A2, "몰라요.")]),
    "oasst_tree": (".jsonl", SFT["oasst_tree"][1], [(Q, A, BAD)]),
    "aihub_71748_rm": (".json", {"data_info": [{"data_id": "9", "data_category": {"main": "자연", "middle": "강"}, "question_type": "서술", "question": Q,
        **{f"answer0{i}": {"contents": t, "ranking": r, "answer_count": len(t)} for i, (t, r) in enumerate([("강이요.", 3), (BAD, 5), (A, 1), ("큰 강입니다.", 2), ("글쎄요.", 4)], 1)}}]},
        [(Q, A, BAD)]),
    "aihub_post_edited": (".json", SFT["aihub_translation"][1], [("배가 떠난다.", "The boat leaves.", "The pear leaves.")]),
}  # fmt: skip

RATED_DIALOGUE: dict[str, Any] = {"dataset": {"conversations": [{
    "metadata": {"conversation_id": "c1", "speakers": [{"id": "H", "speaker_type": "human"}, {"id": "B", "speaker_type": "bot"}]},
    "utterances": [
        {"speaker_id": "H", "utterance_text": Q},
        {"speaker_id": "B", "utterance_text": A, "utterance_evaluation": [{"linguistic_acceptability": "yes", "no_hallucination": "yes"}]},
        {"speaker_id": "H", "utterance_text": Q2},
        {"speaker_id": "B", "utterance_text": BAD, "utterance_evaluation": [{"linguistic_acceptability": "yes", "no_hallucination": "no"}]},
        {"speaker_id": "H", "utterance_text": "정말요?"},
        {"speaker_id": "B", "utterance_text": "다시 확인해 보겠습니다.", "utterance_evaluation": [{"linguistic_acceptability": "yes", "no_hallucination": "yes"}]}]}]}}  # fmt: skip


def write(folder: Path, name: str, suffix: str, content: Any) -> str:
    """The layout as a file: rows as JSON lines, anything else as one JSON value."""
    path = folder / f"{name}{suffix}"
    if suffix == ".jsonl":
        path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in content), encoding="utf-8")
    else:
        path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return str(path)
