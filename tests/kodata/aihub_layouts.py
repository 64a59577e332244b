"""One small file of every AI Hub and NIKL layout, in Korean written for these tests, and what it must give."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass, field
from typing import Any

RAIN = "어제 내린 비로 냇물이 불어 징검다리가 잠겼다."
MILL = "방앗간 주인은 새벽부터 쌀을 빻아 떡을 쪘다."
ROAD = "마을 사람들은 돌을 날라 길을 다시 놓았다."
SUMMARY = "비로 잠긴 길을 마을 사람들이 다시 놓았다."
ASK = "징검다리는 왜 잠겼나요?"
REPLY = "어제 내린 비로 냇물이 불었기 때문입니다."
HELLO, BACK, BYE = "내일 장터에 같이 갈래?", "좋아, 아침 아홉 시에 보자.", "그럼 다리 앞에서 기다릴게."
TALK = f"A: {HELLO}\nB: {BACK}\nA: {BYE}"
TURNS = [HELLO, BACK, BYE]


@dataclass
class Case:
    """name: what the test is called; layout: of the registry; root: the parsed file; texts: its documents;
    tasks: (kind, fields to find in it); meta: of the first document."""

    name: str
    layout: str
    root: Any
    texts: list[str] = field(default_factory=list)
    tasks: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    meta: dict[str, Any] = field(default_factory=dict)
    table: bool = False


def said(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    """Turns as task items carry them, without roles."""
    return [{"speaker": who, "text": text, "role": ""} for who, text in pairs]


def _sentences(*texts: str, start: int = 0) -> list[dict[str, Any]]:
    return [
        {"index": start + n, "sentence": t, "highlight_indices": "0,2" if n == 0 else ""}
        for n, t in enumerate(texts)
    ]


def _participants(key: str = "participantID") -> list[dict[str, str]]:
    return [{"utteranceID": f"U{n}", key: f"P0{1 + n % 2}", "date": "2021-01-01", "time": "10:00:00", "utterance": t}
            for n, t in enumerate(TURNS)]  # fmt: skip


def _speech(*texts: str) -> list[dict[str, Any]]:
    return [{"id": f"S1.{n}", "speaker_id": str(1 + n % 2), "original_form": t, "form": t, "note": "", "start": 0.1 * n}
            for n, t in enumerate(texts)]  # fmt: skip


def _nikl(category: str, *documents: dict[str, Any], id: str = "NWRW1900000009") -> dict[str, Any]:
    return {"id": id, "metadata": {"title": "시험 말뭉치", "year": "2024", "category": category, "sampling": "본문 전체"},
            "document": list(documents)}  # fmt: skip


def _nikl_doc(id: str, **body: Any) -> dict[str, Any]:
    meta = {
        "title": "냇가 소식",
        "author": "글쓴이",
        "publisher": "들녘신문",
        "date": "20240501",
        "topic": "사회",
    }
    return {"id": id, "metadata": meta, **body}


def _squad(answers: Any, impossible: bool = False) -> dict[str, Any]:
    return {"data": [{"doc_id": "D1", "doc_title": "냇가", "doc_source": "들녘신문",
                      "paragraphs": [{"context_id": "C1", "context": f"{RAIN} {ROAD}",
                                      "qas": [{"question_id": "Q1", "question": ASK, "is_impossible": impossible, "answers": answers}]}]}]}  # fmt: skip


QA = (
    "qa",
    {"question": ASK, "answer": "비", "context": f"{RAIN} {ROAD}", "impossible": False, "title": "냇가"},
)
DIALOGUE = ("dialogue", {"turns": said(("P01", HELLO), ("P02", BACK), ("P01", BYE))})
HYPER = {"data_category": {"main": "생활", "middle": "날씨"}, "question_type": "설명"}

CASES = [
    Case("97", "aihub.document_summary",
         {"name": "문서요약 프로젝트", "delivery_date": "2020-12-23", "documents": [
             {"id": "290741778", "category": "사회", "media_name": "들녘신문", "size": "small", "char_count": "120",
              "publish_date": "2019-01-01", "title": "잠긴 징검다리", "text": [_sentences(RAIN, MILL), _sentences(ROAD, start=2)],
              "extractive": [0, 2, None], "abstractive": [SUMMARY]}]},
         [f"{RAIN} {MILL}\n{ROAD}"],
         [("summary", {"summary": SUMMARY, "style": "abstractive", "text": f"{RAIN} {MILL}\n{ROAD}", "title": "잠긴 징검다리"}),
          ("summary", {"summary": f"{RAIN} {ROAD}", "style": "extractive"})],
         {"title": "잠긴 징검다리", "publisher": "들녘신문", "date": "2019-01-01", "kind": "news"}),
    Case("97 law", "aihub.document_summary",
         {"documents": [{"id": "1", "category": "민사", "text": [_sentences("원고의 청구를 기각한다.")], "extractive": [], "abstractive": []}]},
         ["원고의 청구를 기각한다."], [], {"kind": "law"}),
    Case("book summary", "aihub.book_summary",
         {"passage_id": "P7", "metadata": {"doc_id": "B1", "doc_name": "냇가의 하루", "kdc_label": "문학"}, "chapter": "1장",
          "passage": f"{RAIN} {ROAD}", "summary": SUMMARY},
         [f"{RAIN} {ROAD}"], [("summary", {"summary": SUMMARY})], {"title": "냇가의 하루", "chapter": "1장", "kind": "book"}),
    Case("dialogue summary", "aihub.dialogue_summary",
         {"numberOfItems": 1, "data": [{"header": {"dialogueInfo": {"dialogueID": "d1", "topic": "약속", "numberOfUtterances": 3},
                                                   "participantsInfo": [{"participantID": "P01", "gender": "여성"}]},
                                        "body": {"dialogue": _participants(), "summary": "내일 아홉 시에 장터에 같이 간다."}}]},
         [TALK], [DIALOGUE, ("summary", {"summary": "내일 아홉 시에 장터에 같이 간다.", "text": TALK})], {"topic": "약속"}),
    Case("sns", "aihub.messenger",
         {"data": [{"header": {"dialogueInfo": {"dialogueID": "s1", "topic": "약속"}, "participantsInfo": []},
                    "body": [{"participantID": "P01", "utterance": "#@이름# 내일 와? #@이모티콘#"},
                             {"participantID": "P02", "utterance": "#@시스템#사진#"},
                             {"participantID": "P02", "utterance": "응 갈게 #@주소# 맞지?"}]}]},
         ["A: [이름] 내일 와?\nB: 응 갈게 [주소] 맞지?"],
         [("dialogue", {"turns": said(("P01", "[이름] 내일 와?"), ("P02", "응 갈게 [주소] 맞지?"))})]),
    Case("297 sns", "aihub.messenger",
         {"header": {"dialogueInfo": {"single_topic": "약속", "multi_topic": ""}, "participantsInfo": {}}, "body": _participants()},
         [TALK], [DIALOGUE], {"topic": "약속"}),
    Case("mrc, answers a list", "aihub.reading", _squad([{"text": "비", "answer_start": 4}]), [f"{RAIN} {ROAD}"], [QA],
         {"title": "냇가", "publisher": "들녘신문"}),
    Case("016 017, answers an object", "aihub.reading", _squad({"text": "비", "answer_start": 4}), [f"{RAIN} {ROAD}"], [QA]),
    Case("021 unanswerable", "aihub.reading", _squad([], True), [f"{RAIN} {ROAD}"], [("qa", {"answer": "", "impossible": True})]),
    Case("common sense, a lone record", "aihub.reading",
         {"title": "냇물", "paragraphs": [{"context": RAIN, "qas": [{"id": 1, "question": ASK, "answers": [{"text": "비", "answer_start": 4}]}]}]},
         [RAIN], [("qa", {"answer": "비"})]),
    Case("150", "aihub.number_reading",
         {"title": "장터", "passage": "떡 다섯 개를 팔고 세 개를 더 쪘다.", "qa_pairs": [
             {"query_id": "n1", "question": "떡은 모두 몇 개인가?", "answer": {"number": {"calculation": "5+3", "number": "8", "unit": "개"}, "spans": None, "date": None}},
             {"query_id": "n2", "question": "언제 팔았나?", "answer": {"date": {"year": "2020", "month": "5", "day": None}, "spans": None, "number": None}},
             {"query_id": "n3", "question": "무엇을 팔았나?", "answer": {"spans": [{"text": "떡"}], "date": None, "number": None}}]},
         ["떡 다섯 개를 팔고 세 개를 더 쪘다."],
         [("qa", {"answer": "8개"}), ("qa", {"answer": "2020년 5월"}), ("qa", {"answer": "떡"})]),
    Case("030 labels", "aihub.news_labels",
         {"named_entity": [{"title": [{"sentence": "잠긴 징검다리", "labels": []}], "subtitle": [], "url": "http://example.kr/1",
                            "content": [{"sentence": RAIN, "labels": []}, {"sentence": ROAD, "labels": []}], "write_date": "2021-01-02"}]},
         [f"{RAIN} {ROAD}"], [], {"title": "잠긴 징검다리", "url": "http://example.kr/1", "date": "2021-01-02"}),
    Case("031 raw", "aihub.news_raw",
         {"SJML": {"header": {"identifier": "x"}, "text": [{"title": "잠긴 징검다리", "subtitle": "", "content": f"{RAIN}\n{ROAD}"}]}},
         [f"{RAIN}\n{ROAD}"], [], {"title": "잠긴 징검다리"}),
    Case("029", "aihub.bought_books",
         {"paragraphs": [{"info": {"kdc": "813", "published_year": "2015"}, "sentences": [{"original_text": RAIN}, {"original_text": ROAD}]}]},
         [f"{RAIN} {ROAD}"], [], {"category": "813", "date": "2015"}),
    Case("029 table", "aihub.bought_books",
         "B001.0001.001\t어제 내린 비로\t7\t1\nB001.0001.002\t길이 잠겼다.\t7\t1\nB001.0002.001\t떡을 쪘다.\t5\t1\n",
         ["어제 내린 비로 길이 잠겼다.", "떡을 쪘다."], table=True),
    Case("expert corpus", "aihub.expert_corpus", {"data": [{"id": "e1", "title": "물살", "rows": [{"text": RAIN}, {"text": ROAD}]}]},
         [f"{RAIN}\n{ROAD}"], [], {"title": "물살", "kind": "academic"}),
    Case("154", "aihub.expert_books", {"data": [{"id": "m1", "book_id": "b9", "category": "의료", "keyword": "물", "text": RAIN, "popularity": 3}]},
         [RAIN], [], {"category": "의료"}),
    Case("018 papers", "aihub.paper_summary",
         [{"data": [{"doc_id": "p1", "doc_type": "paper", "title": "징검다리 연구", "summary_entire": [{"orginal_text": f"{RAIN} {ROAD}", "summary_text": SUMMARY}],
                     "summary_section": [{"orginal_text": ROAD, "summary_text": "길을 놓았다."}, {"orginal_text": MILL, "summary_text": "떡을 쪘다."}]}]}],
         [f"{RAIN} {ROAD}", MILL],
         [("summary", {"summary": SUMMARY}), ("summary", {"summary": "길을 놓았다.", "style": "section"}), ("summary", {"text": MILL})],
         {"kind": "academic"}),
    Case("153", "aihub.technical_documents",
         {"dataset": {"doc_id": "t1", "doc_type": "특허", "doc_title": {"kor": "다리", "eng": "Bridge"},
                      "context_info": [{"context_id": "t1-1", "context": RAIN, "summary": "비로 잠겼다."}, {"context_id": "t1-2", "context": ROAD, "summary": "길을 놓았다."}]}},
         [RAIN, ROAD], [("summary", {"text": RAIN}), ("summary", {"text": ROAD})], {"title": "다리"}),
    Case("152", "aihub.technical_documents",
         {"dataset": {"doc_id": "t1", "doc_title": "다리", "context_info": [
             {"context_id": "t1-1", "context": RAIN, "qas": [{"question_id": "q1", "question-1": ASK, "question-2": None, "answer": "비", "wrong_answer": ["눈", "바람"]}]}]}},
         [RAIN], [("qa", {"answer": "비"}), ("ranking", {"answers": ["비", "눈", "바람"], "ranks": [1, 2, 2]})], {"title": "다리"}),
    Case("022 reports", "aihub.report_summary",
         {"Meta(Acqusition)": {"doc_id": "r1", "doc_name": "냇가 보고서", "publisher": "들녘", "publisher_year": "2020"},
          "Meta(Refine)": {"passage": f"{RAIN} {ROAD}", "passage_id": "r1-1"},
          "Annotation": {"summary1": SUMMARY, "summary2": "길을 놓았다.", "summary3": None}},
         [f"{RAIN} {ROAD}"], [("summary", {"summary": SUMMARY}), ("summary", {"summary": "길을 놓았다."})], {"title": "냇가 보고서"}),
    Case("023 scripts", "aihub.script_summary",
         {"Meta": {"doc_id": "v1", "passage": f"{RAIN}\n{ROAD}", "passage_id": "v1-1"}, "Annotation": {"Summary1": SUMMARY, "Summary2": "", "Summary3": "길"}},
         [f"{RAIN}\n{ROAD}"], [("summary", {"summary": SUMMARY}), ("summary", {"summary": "길"})]),
    Case("022 bills", "aihub.bill_summary", {"title": "다리법", "paragraph": f"{RAIN} {ROAD}", "gen_summary": SUMMARY},
         [f"{RAIN} {ROAD}"], [("summary", {"summary": SUMMARY, "title": "다리법"})], {"kind": "law"}),
    Case("023 assembly", "aihub.assembly_search",
         {"title": "본회의", "context": f"{RAIN} {ROAD}", "context_learn": RAIN, "context_summary": {"summary_q": ASK, "summary_a": REPLY}},
         [f"{RAIN} {ROAD}"], [("qa", {"question": ASK, "answer": REPLY, "context": RAIN})], {"title": "본회의"}),
    Case("019 judgments", "aihub.judgments",
         {"info": {"caseField": "1", "caseNm": "손해배상", "courtNm": "들녘지법", "judmnAdjuDe": "2019.01.01", "caseNo": "2018가합1"},
          "concerned": {"acusr": "원고 갑", "dedat": "피고 을"}, "disposal": {"disposalcontent": ["원고의 청구를 기각한다."]},
          "facts": {"bsisFacts": [RAIN, ROAD]}, "close": {"cnclsns": ["그러므로 주문과 같이 판결한다."]}},
         [f"원고의 청구를 기각한다.\n{RAIN}\n{ROAD}\n그러므로 주문과 같이 판결한다."], [], {"title": "손해배상", "court": "들녘지법", "kind": "law"}),
    Case("019 clauses", "aihub.clauses", {"clauseField": "1", "clauseArticle": ["제1조 (목적) 이 약관은 다리의 이용을 정한다."], "dvAntageous": "1"},
         ["제1조 (목적) 이 약관은 다리의 이용을 정한다."], [], {"kind": "law"}),
    Case("law base", "aihub.law_base", {"L001": {"title": "다리법", "text": RAIN}, "L002": {"title": "냇물법", "text": ROAD}},
         [RAIN, ROAD], [], {"title": "다리법", "kind": "law"}),
    Case("020", "aihub.topical_dialogue",
         {"dataset": {}, "info": [{"id": "k1", "mediatype": "카카오톡", "medianame": "약속", "date": "2021", "annotations": {
             "subject": "약속", "speaker_type": "1:1", "text": "1 : 무시되는 줄",
             "lines": [{"id": n, "text": f"{1 + n % 2} : {t}", "norm_text": t, "speaker": {"id": str(1 + n % 2), "sex": "여성"}, "speechAct": "질문"}
                       for n, t in enumerate(TURNS)]}}]},
         [TALK], [("dialogue", {"turns": said(("1", HELLO), ("2", BACK), ("1", BYE)), "topic": "약속"})]),
    Case("021 purposes, one text", "aihub.topical_dialogue",
         {"info": [{"mediatype": "공공", "annotations": {"subject": "약속", "text": f"1 : {HELLO}\n2 : {BACK}\n1 : {BYE}"}}]},
         [TALK], [("dialogue", {"turns": said(("1", HELLO), ("2", BACK), ("1", BYE))})]),
    Case("018 emotion", "aihub.emotional_dialogue",
         [{"profile": {"persona-id": "P", "persona": {"human": ["A02"]}, "emotion": {"emotion-id": "S06_D02_E18", "situation": ["S06"]}},
           "talk": {"id": {"profile-id": "Pro_1", "talk-id": "Pro_1_2"},
                    "content": {"HS01": "비가 와서 속상해.", "SS01": "무엇이 가장 속상하셨나요?", "HS02": "장터에 못 갔어.", "SS02": "내일은 맑을 거예요.", "HS03": "", "SS03": ""}}}],
         ["사람: 비가 와서 속상해.\n시스템: 무엇이 가장 속상하셨나요?\n사람: 장터에 못 갔어.\n시스템: 내일은 맑을 거예요."],
         [("dialogue", {"turns": [{"speaker": "사람", "text": "비가 와서 속상해.", "role": "user"}, {"speaker": "시스템", "text": "무엇이 가장 속상하셨나요?", "role": "assistant"},
                                  {"speaker": "사람", "text": "장터에 못 갔어.", "role": "user"}, {"speaker": "시스템", "text": "내일은 맑을 거예요.", "role": "assistant"}], "situation": "S06"})]),
    Case("012", "aihub.multi_turn",
         {"info": {"id": "m1", "topic": "약속", "keyword": "장터", "speaker": {"speaker1Id": "x"}},
          "utterances": [{"speaker": f"speaker{1 + n % 2}", "text": t} for n, t in enumerate(TURNS)]},
         [TALK], [("dialogue", {"turns": said(("speaker1", HELLO), ("speaker2", BACK), ("speaker1", BYE)), "topic": "약속"})]),
    Case("044", "aihub.multi_turn",
         {"info": {"id": "p1", "topic": "약속", "personas": [{"persona_id": 1, "persona": [{"profile_id": 3, "profile": "나는 장터를 좋아한다."}]}, {"persona_id": 2, "persona": []}]},
          "utterances": [*({"persona_id": 1 + n % 2, "text": t, "terminate": False} for n, t in enumerate(TURNS)), {"persona_id": 1, "text": "[대화 종료]", "terminate": True}]},
         [TALK], [("dialogue", {"turns": said(("1", HELLO), ("2", BACK), ("1", BYE)), "persona": {"1": ["나는 장터를 좋아한다."]}})]),
    Case("045", "aihub.multi_turn",
         {"info": {"topic": "날씨"}, "utterances": [{"role": "질문자", "text": ASK, "terminate": False}, {"role": "전문가", "text": REPLY, "search_URL": None, "terminate": False}]},
         [f"질문자: {ASK}\n전문가: {REPLY}"],
         [("dialogue", {"turns": [{"speaker": "질문자", "text": ASK, "role": "user"}, {"speaker": "전문가", "text": REPLY, "role": "assistant"}]})]),
    Case("141", "aihub.multi_session",
         {"FileInfo": {"filename": "f1"}, "sessionInfo": [{"sessionID": "1", "dialog": [{"speaker": "speaker1", "utterance": HELLO}, {"speaker": "speaker2", "utterance": BACK}]},
                                                          {"sessionID": "2", "dialog": [{"speaker": "speaker2", "utterance": BYE}, {"speaker": "speaker1", "utterance": BACK}]}]},
         [f"A: {HELLO}\nB: {BACK}", f"A: {BYE}\nB: {BACK}"], [("dialogue", {}), ("dialogue", {})]),
    Case("022 calls", "aihub.call_centre",
         [{"도메인": "교통", "카테고리": "다리", "대화셋일련번호": "A1", "화자": "고객", "문장번호": "1", "고객질문(요청)": ASK, "상담사질문(요청)": "", "고객답변": "", "상담사답변": "", "QA": "Q"},
          {"도메인": "교통", "카테고리": "다리", "대화셋일련번호": "A1", "화자": "상담사", "문장번호": "2", "고객질문(요청)": "", "상담사질문(요청)": "", "고객답변": "", "상담사답변": REPLY, "QA": "A"},
          {"도메인": "교통", "카테고리": "길", "대화셋일련번호": "A2", "화자": "상담사", "문장번호": "1", "고객질문(요청)": "", "상담사질문(요청)": "무엇을 도와 드릴까요?", "고객답변": "", "상담사답변": "", "QA": "Q"}],
         [f"고객: {ASK}\n상담사: {REPLY}", "무엇을 도와 드릴까요?"],
         [("dialogue", {"turns": [{"speaker": "고객", "text": ASK, "role": "user"}, {"speaker": "상담사", "text": REPLY, "role": "assistant"}], "topic": "다리"})]),
    Case("shop orders", "aihub.shop_orders",
         "IDX,발화자,발화문,카테고리,상담번호,상담내순번\n1,c,떡 있어요?,떡,9,1\n2,s,\"네, 콩떡이 있어요.\",떡,9,2\n3,c,쌀 파나요?,쌀,10,1\n4,s,내일 들어와요.,쌀,10,2\n",
         ["A: 떡 있어요?\nB: 네, 콩떡이 있어요.", "A: 쌀 파나요?\nB: 내일 들어와요."],
         [("dialogue", {"turns": [{"speaker": "c", "text": "떡 있어요?", "role": "user"}, {"speaker": "s", "text": "네, 콩떡이 있어요.", "role": "assistant"}]}), ("dialogue", {})],
         {"category": "떡"}, table=True),
    Case("korean dialogue", "aihub.korean_dialogue",
         "SPEAKER,SENTENCE,DOMAINID,SENTENCEID\n고객,떡 있어요?,A,1\n점원,네 있어요.,A,2\n고객,쌀 있어요?,A,1\n점원,없어요.,A,2\n",
         ["고객: 떡 있어요?\n점원: 네 있어요.", "고객: 쌀 있어요?\n점원: 없어요."], [("dialogue", {}), ("dialogue", {})], table=True),
    Case("126", "aihub.parallel", "SID,분야,한국어,원문,번역문\n1,날씨,,어제 비가 왔다.,It rained yesterday.\n",
         ["어제 비가 왔다."], [("translation", {"source": "어제 비가 왔다.", "target": "It rained yesterday.", "draft": "", "source_language": "ko", "target_language": "en"})], {"category": "날씨"}, table=True),
    Case("025", "aihub.korean_english",
         {"data": [{"sn": "K1", "ko": "어제 비가 왔다.", "en": "It rained yesterday.", "mt": "Yesterday rain came.", "domain": "일상", "source_language": "ko", "target_language": "en"}]},
         ["어제 비가 왔다."], [("translation", {"source": "어제 비가 왔다.", "target": "It rained yesterday.", "draft": "Yesterday rain came.", "source_language": "ko"})]),
    Case("027", "aihub.post_edited",
         [{"관리번호": "C1", "분야": "일상", "S_Code": "ko", "T_Code": "zh", "원문": "어제 비가 왔다.", "MT": "昨天雨来。", "1차수정": "昨天来雨。", "2차수정": "", "최종번역문": "昨天下雨了。"}],
         ["어제 비가 왔다."], [("translation", {"target": "昨天下雨了。", "draft": "昨天雨来。", "source_language": "ko", "target_language": "zh"})]),
    Case("korean and chinese", "aihub.parallel", "분야,한국어,중국어\n날씨,어제 비가 왔다.,昨天下雨了。\n",
         ["어제 비가 왔다."], [("translation", {"source_language": "ko", "target_language": "zh", "target": "昨天下雨了。"})], table=True),
    Case("050", "aihub.parallel", [{"sourceText": "It rained.", "targetText": "비가 왔다.", "sourceLanguage": "en", "targetLanguage": "ko"}],
         ["비가 왔다."], [("translation", {"source": "It rained.", "target_language": "ko"})]),
    Case("157", "aihub.korean_english", {"data": [{"sn": "J1", "ko": "비가 왔다.", "jp": "雨が降った。", "mt": "비가 내렸다.", "source_language": "jp"}]},
         ["비가 왔다."], [("translation", {"source": "雨が降った。", "target": "비가 왔다.", "draft": "비가 내렸다.", "source_language": "ja", "target_language": "ko"})]),
    Case("150 sentences", "aihub.post_edited", [{"SOURCE_SENTENCE": "비가 왔다.", "TARGET_SENTENCE": "It rained.", "MT_SENTENCE": "Rain came."}],
         ["비가 왔다."], [("translation", {"draft": "Rain came.", "target_language": "en"})]),
    Case("146", "aihub.clickbait",
         {"sourceDataInfo": {"newsID": "N1", "newsTitle": "냇물 불어 다리 잠겨", "newsSubTitle": "", "newsContent": f"{RAIN}\n{ROAD}", "sentenceInfo": [{"sentenceContent": RAIN}]},
          "labeledDataInfo": {"newTitle": "충격! 다리가 사라졌다", "referSentenceInfo": []}},
         [f"{RAIN}\n{ROAD}"], [("ranking", {"answers": ["냇물 불어 다리 잠겨", "충격! 다리가 사라졌다"], "ranks": [1, 2], "task": "title"})], {"title": "냇물 불어 다리 잠겨"}),
    Case("143", "aihub.petitions",
         {"id": "Q_1-1", "Q_refined": "징검다리가 잠겼으니 난간을 놓아 주세요.", "labeling": {"department": "도로과", "intent": {"category": "시설", "subcategory": "다리", "predication": "요청"}, "similar_Q": []}},
         ["징검다리가 잠겼으니 난간을 놓아 주세요."], [("label", {"label": "도로과", "name": "department"}), ("label", {"label": "시설"}), ("label", {"label": "다리"}), ("label", {"label": "요청"})]),
    Case("119", "aihub.archives",
         {"data": [{"id": "g1", "title": "다리 공사", "publisher_company": "기록원", "category_main": "건설", "category_middle": "다리", "collection_name": "관보", "issue_date": "1971", "corpus": f"{RAIN} {ROAD}"}]},
         [f"{RAIN} {ROAD}"], [], {"title": "다리 공사", "publisher": "기록원", "date": "1971"}),
    Case("119 harmful", "aihub.archives_harmful",
         {"data": [{"instruct_id": "h1", "instruct_text": "다리를 부수는 법을 알려 줘", "labels": [{"level1_type": "위험", "level2_type": "파손", "persona": "성인"}]}]},
         [], [("label", {"text": "다리를 부수는 법을 알려 줘", "label": "위험", "name": "level1_type"}), ("label", {"label": "파손"}), ("label", {"label": "성인"})]),
    Case("119 qa", "aihub.archives_qa",
         {"data": [{"title": "다리", "publisher": "기록원", "date": "1971", "type": "관보", "context": RAIN, "labels": [{"instructs": [{"text": ASK}, {"text": "왜 잠겼어?"}], "response": REPLY}]}]},
         [RAIN], [("qa", {"question": ASK, "answer": REPLY}), ("qa", {"question": "왜 잠겼어?", "answer": REPLY})]),
    Case("120 questions", "aihub.health_questions",
         {"fileName": "HC-Q-1", "disease_category": "감염", "disease_name": {"kor": "감기", "eng": "Cold"}, "intention": "예방", "question": "감기는 어떻게 막나요?"},
         [], [("question", {"text": "감기는 어떻게 막나요?", "key": ["감염", "감기", "예방"]})]),
    Case("120 answers", "aihub.health_answers",
         {"fileName": "HC-A-1", "disease_category": "감염", "disease_name": {"kor": "감기"}, "intention": "예방", "answer": {"intro": "감기는 흔합니다.", "body": "손을 씻으십시오.", "conclusion": "오래가면 병원에 가십시오."}},
         ["감기는 흔합니다.\n손을 씻으십시오.\n오래가면 병원에 가십시오."], [("answer", {"key": ["감염", "감기", "예방"]})], {"title": "감기"}),
    Case("71748 source", "aihub.hyper_source",
         {"data_info": [{"data_id": "w1", "data_title": "냇가", "contents": f"{RAIN}\n{ROAD}", **HYPER}]}, [f"{RAIN}\n{ROAD}"], [], {"title": "냇가", "category": "생활"}),
    Case("71748 source with questions", "aihub.hyper_source",
         [{"data_id": "w2", "data_title": "냇가", "contents": [{"text": RAIN, "QA": [{"question": ASK, "answer": REPLY}]}, {"text": ROAD, "QA": []}]}],
         [RAIN, ROAD], [("qa", {"question": ASK, "answer": REPLY, "context": RAIN})]),
    Case("71748 SFT", "aihub.hyper_sft", {"data_info": [{"data_id": "s1", "question": ASK, "answer": {"contents": REPLY, "answer_count": 1}, **HYPER}]},
         [], [("instruction", {"prompt": ASK, "answer": REPLY})]),
    Case("71748 RM", "aihub.hyper_rm",
         {"data_info": [{"data_id": "r1", "question": ASK, "answer01": {"contents": "모르겠습니다.", "ranking": 3}, "answer02": {"contents": REPLY, "ranking": 1},
                         "answer03": {"contents": "비 때문입니다.", "ranking": "2"}, "answer04": {"contents": "", "ranking": 4}, "answer05": {"contents": "눈이요.", "ranking": None}, **HYPER}]},
         [], [("ranking", {"prompt": [{"speaker": "", "text": ASK, "role": "user"}], "answers": [REPLY, "비 때문입니다.", "모르겠습니다."], "ranks": [1, 2, 3]})]),
    Case("71748 PPO", "aihub.hyper_prompts", {"data_info": [{"data_id": "o1", "question": ASK, **HYPER}]}, [], [("prompt", {"prompt": ASK})]),
    Case("021 ratings", "aihub.rated_dialogue",
         {"dataset": {"conversations": [{
             "id": "c1", "metadata": {"speakers": [{"id": 0, "speaker_type": "human"}, {"id": 1, "speaker_type": "bot"}]},
             "utterances": [{"speaker_id": 0, "utterance_text": ASK, "utterance_evaluation": []},
                            {"speaker_id": 1, "utterance_text": REPLY, "utterance_evaluation": [{"harmlessness": "yes", "consistency": "yes"}, {"harmlessness": "yes", "consistency": "no"}, {"harmlessness": "yes", "consistency": "no"}]}],
             "conversation_summary": "다리가 잠긴 까닭을 물었다."}]}},
         [f"A: {ASK}\nB: {REPLY}"],
         [("dialogue", {"turns": [{"speaker": "0", "text": ASK, "role": "user"}, {"speaker": "1", "text": REPLY, "role": "assistant"}]}),
          ("summary", {"summary": "다리가 잠긴 까닭을 물었다."}),
          ("rating", {"prompt": [{"speaker": "0", "text": ASK, "role": "user"}], "answer": REPLY, "marks": {"harmlessness": True, "consistency": False}})]),
    Case("broadcast speech", "aihub.speech",
         {"id": "br1", "metadata": {"title": "마을 방송", "topic": "날씨"}, "speaker": [], "utterance": [
             {"speaker_id": "1", "original_form": "어제 {laughing} 비가 (70%)/(칠십 퍼센트) 왔고요", "form": "x", "hangeulToNumber": ""},
             {"speaker_id": "1", "original_form": "길도 그+ 그게 잠겼어요.", "form": "x"}, {"speaker_id": "2", "original_form": "b/ 네 ((그래서)) 놓았군요. ((xx))", "form": "x"}]},
         ["A: 어제 비가 70% 왔고요 길도 그 그게 잠겼어요.\nB: 네 그래서 놓았군요."], [("dialogue", {})], {"title": "마을 방송"}),
    Case("dialect", "aihub.dialect",
         {"id": "DG1", "metadata": {"topic": "날씨"}, "speaker": [], "utterance": [
             {"id": "DG1.1", "form": "비가 (억수로)/(많이) 왔다", "standard_form": "비가 많이 왔다", "dialect_form": "비가 억수로 왔다", "speaker_id": "1"},
             {"id": "DG1.2", "form": "그랬나", "standard_form": "그랬나", "dialect_form": "그랬나", "speaker_id": "2"}]},
         ["A: 비가 억수로 왔다\nB: 그랬나"], [("dialogue", {}), ("translation", {"source": "비가 억수로 왔다", "target": "비가 많이 왔다"})]),
    Case("meeting", "aihub.meeting_speech", {"typeInfo": {"category": "회의", "subcategory": "다리"}, "dialogs": [{"speaker": "1", "text": "n/ 시작합시다."}, {"speaker": "2", "text": "네 l/ 좋습니다."}]},
         ["A: 시작합시다.\nB: 네 좋습니다."], [("dialogue", {})]),
    Case("labelled speech", "aihub.transcription", {"Wav": {}, "Transcription": {"LabelText": "o/ 비가 왔어요 u/"}}, ["비가 왔어요"]),
    Case("health speech", "aihub.transcription", {"전사정보": {"LabelText": "어디가 아프세요?"}}, ["어디가 아프세요?"]),
    Case("ETRI transcript", "aihub.transcription", {"id": "e1", "transcript": "n/ 전화가 (2)/(두) 통 왔어/ 왔어."}, ["전화가 2 통 왔어 왔어."]),
    Case("tagged talk", "aihub.tagged_talk",
         {"File": {"FileName": "t1"}, "Conversation": [{"SpeakerNo": "S1", "Text": HELLO, "TextNo": "1"}, {"SpeakerNo": "S2", "Text": BACK, "TextNo": "2"}]},
         [f"A: {HELLO}\nB: {BACK}"], [("dialogue", {})]),
    Case("NWRW news", "nikl.written",
         _nikl("신문 > 인터넷 기반 신문", _nikl_doc("NWRW1.1", paragraph=[{"id": "1", "form": "잠긴 징검다리"}, {"id": "2", "form": RAIN}, {"id": "3", "form": ROAD}])),
         [f"{RAIN}\n{ROAD}"], [], {"title": "잠긴 징검다리", "publisher": "들녘신문", "kind": "news", "date": "20240501"}),
    Case("WARW written", "nikl.written", _nikl("문어 > 책 > 상상", _nikl_doc("WARW1.1", paragraph=[{"id": "1", "form": RAIN}, {"id": "2", "form": "&name1&는 웃었다."}])),
         [f"{RAIN}\n[이름]는 웃었다."], [], {"title": "냇가 소식", "kind": "book", "author": "글쓴이"}),
    Case("EBRW web", "nikl.written", _nikl("웹 > 블로그", _nikl_doc("EBRW1.1", paragraph=[{"id": "1", "form": RAIN}])), [RAIN], [], {"kind": "web"}),
    Case("SARW spoken", "nikl.spoken",
         _nikl("구어 > 공적 독백", _nikl_doc("SARW1.1", utterance=[{"id": "1", "form": "오늘은", "speaker_id": "S1", "note": ""}, {"id": "2", "form": "다리 이야기입니다.", "speaker_id": "S1", "note": ""},
                                                             {"id": "3", "form": "", "note": "name1 씨가 왔습니다.", "speaker_id": "S2"}])),
         ["A: 오늘은 다리 이야기입니다.\nB: [이름] 씨가 왔습니다."], [("dialogue", {})], {"kind": "spoken"}),
    Case("SDRW dialogue", "nikl.spoken",
         _nikl("구어 > 사적대화 > 일상대화", _nikl_doc("SDRW1.1", utterance=[{"id": str(n), "form": t, "original_form": t, "speaker_id": f"SD{n % 2}", "note": ""} for n, t in enumerate(TURNS)])),
         [TALK], [("dialogue", {"topic": "사회"})]),
    Case("MDRW messenger", "nikl.spoken",
         _nikl("메신저 대화 > 2인 대화", _nikl_doc("MDRW1.1", utterance=[{"id": "1", "form": "", "original_form": "&name2& 와?", "speaker_id": "1", "time": ""}, {"id": "2", "form": "", "original_form": "ㅇㅇ 감", "speaker_id": "2"},
                                                                {"id": "3", "form": "", "original_form": "다리 앞", "speaker_id": "2"}])),
         ["A: [이름] 와?\nB: ㅇㅇ 감\nB: 다리 앞"], [("dialogue", {})], {"kind": "dialogue"}),
    Case("assembly minutes", "nikl.spoken", _nikl("국회 회의록", _nikl_doc("SBRW1.1", utterance=[{"id": "1", "form": "개회합니다.", "speaker_id": "의장"}, {"id": "2", "form": "이의 없습니다.", "speaker_id": "의원"}])),
         ["의장: 개회합니다.\n의원: 이의 없습니다."], [("dialogue", {})]),
    Case("assembly summary", "nikl.assembly_summary",
         {"id": "A1", "metadata": {"category": "국회 회의록"}, "document": [{"id": "A1.1", "sentence": [{"id": "1", "form": RAIN, "speaker_id": "의장"}, {"id": "2", "form": ROAD, "speaker_id": "의원"}],
                                                                       "SC": {"main_summary": SUMMARY, "issue_summary": ["길을 놓는다."]}}]},
         [f"의장: {RAIN}\n의원: {ROAD}"], [("summary", {"summary": SUMMARY}), ("summary", {"summary": "길을 놓는다.", "style": "issue"})]),
    Case("morphemes", "nikl.analysed", _nikl("신문", _nikl_doc("NXMP1.1", sentence=[{"id": "1", "form": RAIN, "word": [], "MP": []}, {"id": "2", "form": ROAD, "word": [], "MP": []}])),
         [f"{RAIN} {ROAD}"]),
    Case("spelling", "nikl.spoken",
         _nikl("메신저 대화", _nikl_doc("MXEC1.1", utterance=[{"id": "u1", "form": "안되", "original_form": "안되", "corrected_form": "안돼", "speaker_id": "1"}, {"id": "u2", "form": "왜", "corrected_form": "왜", "speaker_id": "2"}])),
         ["A: 안되\nB: 왜"], [("dialogue", {}), ("correction", {"text": "안되", "corrected": "안돼"})]),
    Case("summary", "nikl.summary", {"data": [{"document_id": "NWRW1.1", "topic_sentences": [RAIN, ROAD], "summary_sentences": [SUMMARY]}]},
         [], [("answer", {"text": f"{RAIN} {ROAD}"}), ("answer", {"text": SUMMARY, "key": ["nikl.summary", "NWRW1.1", "summary_sentences"]})]),
    Case("paraphrase", "nikl.paraphrase", {"data": [{"id": "PA1", "paraphrases": [{"form": "비가 왔다."}, {"form": "비가 내렸다."}]}]}, [], [("paraphrase", {"texts": ["비가 왔다.", "비가 내렸다."]})]),
    Case("unpublished", "nikl.unpublished", "file_id,sentence\nF1,어제 비가 왔다.\nF1,길이 잠겼다.\nF2,떡을 쪘다.\n", ["어제 비가 왔다.\n길이 잠겼다.", "떡을 쪘다."], table=True),
]  # fmt: skip


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED, flagless: str = "") -> bytes:
    """A zip of members. flagless: names are in this charset without the UTF-8 flag, as Korean archivers write them."""
    if flagless:
        return _rawnames({name.encode(flagless): content for name, content in members.items()})
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, (2024, 1, 1, 0, 0, 0)), content, method)
    return data.getvalue()


def _rawnames(members: dict[bytes, bytes]) -> bytes:
    """A stored zip whose names are these bytes, flag bit 0x800 off."""
    import struct
    import zlib

    out, directory = b"", b""
    for name, content in members.items():
        crc, size = zlib.crc32(content), len(content)
        common = struct.pack("<HHHHHIIIHH", 20, 0, 0, 0, 0x5821, crc, size, size, len(name), 0)
        directory += (
            b"PK\1\2" + struct.pack("<H", 20) + common + struct.pack("<HHHII", 0, 0, 0, 0, len(out)) + name
        )
        out += b"PK\3\4" + common + name + content
    return (
        out
        + directory
        + b"PK\5\6"
        + struct.pack("<HHHHIIH", 0, 0, len(members), len(members), len(directory), len(out), 0)
    )
