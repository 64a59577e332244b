"""AI Hub data sets of written text: articles, books, papers, statutes, with summaries of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kodata.sources.aihub.grouping import grouped
from kodata.sources.aihub.item import TaskItem, Text, WrongItem
from kodata.sources.aihub.layout import Layout, Reading
from kodata.sources.aihub.paths import first, leaves, strings, walk
from kodata.sources.fields import NoText, find_text

_LAW_CATEGORIES = {"민사", "형사", "가사", "일반행정", "행정", "세무", "특허", "선거,특별"}


def meta_of(item: Any, names: Mapping[str, str]) -> dict[str, Any]:
    """{meta name: text at its path ("a|b": the first that is there)}; empty ones, lists and objects left out."""
    found: dict[str, Any] = {}
    for name, paths in names.items():
        for path in paths.split("|"):
            try:
                text = first(item, path)
            except WrongItem:
                continue
            if text:
                found[name] = " ".join(text.split())
                break
    return found


def article(*texts: str, joined: str = "\n", id: str = "", **names: str) -> Reading:
    """A document of the texts at these paths, in order; names: meta name = path ("a|b": the first that is there)."""

    def read(item: Any, root: Any) -> Iterator[Text | TaskItem]:
        if text := joined.join(s for path in texts for s in strings(item, path)):
            yield Text(text, first(item, *id.split("|")) if id else None, meta_of(item, names))

    return read


def summary_item(
    id: str, text: str, summary: str, style: str, meta: dict[str, Any], place: str = ""
) -> Iterator[TaskItem]:
    """A summary task, where both sides are there."""
    if text and summary:
        fields = {"text": text, "summary": summary, "style": style, "title": meta.get("title", "")}
        yield TaskItem("summary", id, fields, meta, place)


def summarised(
    *texts: str, joined: str = "\n", id: str = "", styles: Mapping[str, str], **names: str
) -> Reading:
    """`article` with summaries of the whole text. styles: path of the summary -> its style."""
    base = article(*texts, joined=joined, id=id, **names)

    def read(item: Any, root: Any) -> Iterator[Text | TaskItem]:
        for text in base(item, root):
            yield text
            for path, style in styles.items():
                for summary in strings(item, path):
                    assert isinstance(text, Text)
                    yield from summary_item(text.id or "", text.text, summary, style, text.meta)

    return read


def _article97(item: Any, root: Any) -> Iterator[Text | TaskItem]:
    """Paragraphs of sentences; `extractive` holds the numbers of sentences, null where there are fewer than three."""
    paragraphs, numbered = [], {}
    for paragraph in walk(item, "text[]"):
        sentences = []
        for sentence in paragraph if isinstance(paragraph, list) else [paragraph]:
            words = first(sentence, "sentence")
            sentences.append(words)
            if isinstance(sentence, Mapping) and isinstance(sentence.get("index"), int):
                numbered[sentence["index"]] = words
        paragraphs.append(" ".join(s for s in sentences if s))
    meta = meta_of(
        item, {"title": "title", "date": "publish_date", "publisher": "media_name", "category": "category"}
    )
    if meta.get("category") in _LAW_CATEGORIES:
        meta["kind"] = "law"
    id, text = first(item, "id"), "\n".join(p for p in paragraphs if p) or meta.get("title", "")
    if not text:
        return
    yield Text(text, id or None, meta)
    for summary in strings(item, "abstractive[]"):
        yield from summary_item(id, text, summary, "abstractive", meta)
    picked = [numbered.get(n) for n in item.get("extractive") or [] if isinstance(n, int)]
    yield from summary_item(id, text, " ".join(p for p in picked if p), "extractive", meta)


def _news(item: Any, root: Any) -> Iterator[Text | TaskItem]:
    """Subtitle and body; a headline without a body is a document too."""
    meta = meta_of(
        item, {"title": "title", "date": "write_date|date", "publisher": "source_site|source", "url": "url", "category": "board"}
    )  # fmt: skip
    if text := "\n".join(t for t in (first(item, "subtitle"), first(item, "content")) if t) or meta.get(
        "title", ""
    ):
        yield Text(text, first(item, "id") or None, meta)


def _named_entities(item: Any, root: Any) -> Iterator[Text | TaskItem]:
    meta = meta_of(
        item, {"date": "write_date", "url": "url", "publisher": "source_site", "category": "board"}
    )
    if title := " ".join(strings(item, "title[].sentence")):
        meta["title"] = title
    parts = [" ".join(strings(item, path)) for path in ("subtitle[].sentence", "content[].sentence")]
    if text := "\n".join(p for p in parts if p) or title:
        yield Text(text, first(item, "id", "doc_id") or None, meta)


def _paper(item: Any, root: Any) -> Iterator[Text | TaskItem]:
    """The whole and its sections; a section that is a part of the whole is no document of its own."""
    meta = meta_of(item, {"title": "title", "date": "date|reg_date", "category": "ipc|doc_type"})
    id, whole = first(item, "doc_id", "id"), ""
    for path, style in (("summary_entire[]", "abstractive"), ("summary_section[]", "section")):
        for n, part in enumerate(walk(item, path), 1):
            text, summary = first(part, "orginal_text", "original_text"), first(part, "summary_text")
            place = f"{path[8]}{n}"
            if text and text not in whole:
                whole += "\n" + text
                yield Text(text, f"{id}#{place}" if id and place != "e1" else id or None, meta, place)
            yield from summary_item(id, text, summary, style, meta, place)


def _judgment(item: Any, root: Any) -> Iterator[Text | TaskItem]:
    meta = meta_of(
        item, {"title": "info.caseNm|info.caseTitle", "date": "info.judmnAdjuDe", "court": "info.courtNm", "case": "info.caseNo",
               "category": "info.detailField|info.caseField"})  # fmt: skip
    text = "\n".join(leaves(item, frozenset({"info", "concerned", "org", "id"})))
    if text:
        yield Text(text, first(item, "info.caseNo", "id") or None, meta)


def _clauses(item: Any, root: Any) -> Iterator[Text | TaskItem]:
    text = "\n".join(leaves(item.get("clauseArticle")))
    if text:
        yield Text(text, first(item, "id") or None, meta_of(item, {"category": "clauseField"}))


def _clickbait(item: Any, root: Any) -> Iterator[Text | TaskItem]:
    """The article under its true title; the made-up title is a worse title for it."""
    source, label = item["sourceDataInfo"], item.get("labeledDataInfo")
    meta = meta_of(source, {"title": "newsTitle", "category": "newsCategory", "publisher": "partNum"})
    id = first(source, "newsID", "newsId")
    subtitle = first(source, "newsSubTitle")
    body = first(source, "newsContent") or "\n".join(strings(source, "sentenceInfo[].sentenceContent"))
    if text := "\n".join(t for t in (subtitle, body) if t) or meta.get("title", ""):
        yield Text(text, id or None, meta)
    true, made = meta.get("title", ""), first(label, "newTitle") if label else ""
    if true and made and true != made and body:
        fields = {
            "prompt": [{"speaker": "", "text": body, "role": "user"}],
            "answers": [true, made],
            "ranks": [1, 2],
            "task": "title",
        }
        yield TaskItem("ranking", id, fields, meta)


def _keyed(item: Any, root: Any) -> Iterator[Text | TaskItem]:
    """A record kept under its id; its text stands under one of the keys that any table may have."""
    try:
        text, _ = find_text(item, None)
    except NoText as error:
        raise WrongItem(str(error)) from None
    if text.strip():
        yield Text(
            text.strip(), first(item, "id") or None, meta_of(item, {"title": "title|제목|법령명|용어"})
        )


def _sentences(item: Any, root: Any) -> Iterator[Text | TaskItem]:
    text = " ".join(strings(item, "sentences[].original_text"))
    if text:
        yield Text(text, first(item, "id", "paragraph_id", "info.id") or None,
                   meta_of(item, {"category": "info.kdc", "date": "info.published_year", "title": "info.title"}))  # fmt: skip


def _book_table(item: Any, root: Any) -> Iterator[Text | TaskItem]:
    rows = item["rows"]
    if text := " ".join(strings(item, "rows[].1")):
        yield Text(text, _book_of(rows[0]) or None)


def _book_of(row: Any) -> str:
    """029 as delivered in its sample: rows of "volume.book.paragraph…" and a sentence."""
    return ".".join(first(row, "0").split(".")[:2])


def _same_book(rows: Any) -> Iterator[tuple[str, Any]]:
    return grouped(lambda row, before: _book_of(row) != _book_of(before))(rows)


LAYOUTS = (
    Layout(name="aihub.document_summary", title="문서요약 텍스트", kind="news", items=("documents[]",), read=_article97,
           needs=("text[][].sentence:str", "abstractive:list")),
    Layout(name="aihub.book_summary", title="도서자료 요약", kind="book", needs=("passage_id", "passage:str", "metadata:dict"),
           read=summarised("passage", id="passage_id", styles={"summary": "abstractive"}, title="metadata.doc_name",
                           category="metadata.kdc_label", chapter="chapter", publisher="metadata.publisher",
                           date="metadata.published_year")),
    Layout(name="aihub.report_summary", title="요약문 및 레포트 생성", kind="book", needs=("Meta(Refine).passage:str",),
           read=summarised("Meta(Refine).passage", id="Meta(Refine).passage_id|Meta(Acqusition).doc_id", title="Meta(Acqusition).doc_name",
                           publisher="Meta(Acqusition).publisher", date="Meta(Acqusition).publisher_year",
                           category="Meta(Acqusition).doc_type",
                           styles={"Annotation.summary1": "abstractive", "Annotation.summary2": "short", "Annotation.summary3": "long"})),
    Layout(name="aihub.script_summary", title="방송 콘텐츠 대본 요약", kind="dialogue", needs=("Meta.passage:str", "Annotation:dict"),
           read=summarised("Meta.passage", id="Meta.passage_id|Meta.doc_id", title="Meta.program_name|Meta.doc_name|Meta.title",
                           date="Meta.broadcast_date|Meta.publisher_year", category="Meta.doc_type|Meta.category",
                           styles={"Annotation.Summary1": "abstractive", "Annotation.Summary2": "short", "Annotation.Summary3": "long"})),
    Layout(name="aihub.bill_summary", title="법률안 검토 보고서 요약", kind="law", needs=("paragraph", "gen_summary"),
           read=summarised("paragraph", id="id|doc_id", styles={"gen_summary": "abstractive"}, title="title")),
    Layout(name="aihub.paper_summary", title="논문자료 요약", kind="academic", items=("data[]", "[].data[]"), read=_paper,
           needs=("summary_entire:list",)),
    Layout(name="aihub.paper_summary", title="논문자료 요약", kind="academic", items=("data[]", "[].data[]"), read=_paper,
           needs=("summary_section:list",)),
    Layout(name="aihub.news_raw", title="웹데이터·온라인 구어체 말뭉치 (원천)", kind="web", items=("SJML.text[]",), only=True,
           needs=("content:str", "title"),
           read=_news),
    Layout(name="aihub.news_labels", title="웹데이터·온라인 구어체 말뭉치 (라벨)", kind="web", items=("named_entity[]",),
           needs=("content[].sentence:str",), read=_named_entities),
    Layout(name="aihub.bought_books", title="대규모 구매도서 기반 한국어 말뭉치", kind="book", items=("paragraphs[]",),
           needs=("sentences[].original_text:str",), read=_sentences),
    Layout(name="aihub.bought_books", title="대규모 구매도서 기반 한국어 말뭉치 (표)", kind="book", items=("[]",), only=True, needs=("0", "1"),
           read=_book_table, group=_same_book),
    Layout(name="aihub.expert_corpus", title="전문분야 말뭉치", kind="academic", items=("data[]",), needs=("title", "rows[].text:str"),
           read=article("rows[].text", id="id|doc_id", title="title")),
    Layout(name="aihub.expert_books", title="의료·법률 전문 서적 말뭉치", kind="book", items=("data[]",), needs=("book_id", "text:str"),
           read=article("text", id="id", category="category", keyword="keyword", book="book_id")),
    Layout(name="aihub.judgments", title="법률·규정 텍스트 분석 (판결문)", kind="law", needs=("info.caseNo", "info.courtNm"), read=_judgment),
    Layout(name="aihub.clauses", title="법률·규정 텍스트 분석 (약관)", kind="law", needs=("clauseArticle",), read=_clauses),
    Layout(name="aihub.clickbait", title="낚시성 기사 탐지", kind="news", needs=("sourceDataInfo.newsTitle",), read=_clickbait),
    Layout(name="aihub.archives", title="국가기록물 말뭉치", kind="news", items=("data[]",), needs=("corpus:str", "title"),
           read=article("corpus", id="id|data_id|doc_id", title="title", publisher="publisher_company", category="category_main",
                        subcategory="category_middle", collection="collection_name", date="issue_date")),
    Layout(name="aihub.law_base", title="법률 지식베이스", kind="law", items=("{}",), only=True, owner="", needs=("id",), read=_keyed),
)  # fmt: skip
