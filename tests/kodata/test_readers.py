"""Readers of books, office documents, journals, catalogues and crawls: whole, broken and hostile files."""

import gzip
import io
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kodata.sources import Failure, Part, Record, Settings, parts, read, recognise
from kodata.sources.gettext import entries
from kodata.sources.hwp import paragraph_text
from kodata.sources.pagemeta import iso_date
from kodata.sources.streams import BrokenInput
from tests.kodata.made_files import (
    cell,
    control,
    epub,
    extended,
    hwp,
    hwpx,
    paragraph,
    record,
    response,
    warc,
    zipped,
)

BODY = "오늘은 날씨가 맑아서 동네 도서관까지 걸어가 책을 세 권 빌려 왔다. 돌아오는 길에는 시장에 들렀다."
PAGE = f"""<!doctype html><html><head><title>산책 기록</title><meta property="og:url" content="https://a.example/1">
<meta property="article:published_time" content="2024-01-02T03:04:05+09:00"><meta name="dable:author" content="홍길동 기자">
<script type="application/ld+json">{{"@type": "NewsArticle", "headline": "산책을 다녀왔다"}}</script></head>
<body><nav><a href=/1>정치</a> <a href=/2>경제</a></nav><div id=main><h1>산책을 다녀왔다</h1><p>{BODY}</p><h2>준비물</h2>
<ul><li>물 한 병</li><li>모자</li></ul><p>{BODY} <span class=quote>“<span class=quote>좋은 하루</span>”</span>였다.</p></div>
<footer>Copyright 어느 신문</footer></body></html>"""


def items(path: Path, settings: Settings | None = None) -> list[Record | Failure]:
    return [
        item
        for part in parts(path, path.name, "auto", 1 << 20, 0)
        for item in read(part, settings or Settings())
    ]


def make(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def one(path: Path, **settings: str) -> Record:
    (found,) = items(path, Settings(**settings))  # type: ignore[arg-type]
    assert isinstance(found, Record), found
    return found


def reason(path: Path) -> str:
    found = items(path)[-1]
    assert isinstance(found, Failure)
    return found.reason


def test_forms_are_recognised_by_their_first_bytes() -> None:
    assert recognise("a", epub({"a.xhtml": BODY})[:4096]) == "epub"
    assert recognise("a", hwpx("")[:4096]) == "hwpx"
    assert recognise("a", hwp(b"")[:4096]) == "hwp"
    assert recognise("a", warc([], packed=False)[:4096]) == "warc"
    assert recognise("a", b"<?xml version='1.0'?><article/>") == "xml"
    assert recognise("a.warc.gz", b"") == "warc" and recognise("a.po", b"") == "po"


# --- web


def test_news_fields_of_rows(tmp_path: Path) -> None:
    import json

    row = {
        "기사제목": "산책로가 열렸다",
        "기자명": "홍길동",
        "입력일": "2024.01.02. 오전 9:00",
        "기사본문": BODY,
    }
    found = one(make(tmp_path / "a.json", json.dumps(row, ensure_ascii=False).encode()))
    assert (found.text, found.meta) == (
        BODY,
        {"title": "산책로가 열렸다", "byline": "홍길동", "date": "2024-01-02"},
    )


def test_page_text_and_meta(tmp_path: Path) -> None:
    found = one(make(tmp_path / "a.html", PAGE.encode("cp949", "xmlcharrefreplace")))
    lines = [line for line in found.text.split("\n") if line.strip()]
    assert lines == ["산책을 다녀왔다", BODY, "준비물", " - 물 한 병", " - 모자", f"{BODY} “좋은 하루”였다."]
    assert found.meta == {
        "title": "산책을 다녀왔다", "kind": "news", "url": "https://a.example/1", "date": "2024-01-02", "byline": "홍길동 기자", "file": "a.html",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("2024.1.2. 09:00", "2024-01-02"),
        ("2024년 12월 31일", "2024-12-31"),
        ("20240506T0708", "2024-05-06"),
        ("2024-13-01", ""),
        ("전화 02-2024", ""),
    ],
)
def test_dates(text: str, date: str) -> None:
    assert iso_date(text) == date


def test_warc_pages_in_their_charsets_and_others_counted(tmp_path: Path) -> None:
    plain = PAGE.replace("산책", "소풍")
    answers = [
        response(PAGE.encode()),
        response(plain.encode("cp949", "xmlcharrefreplace"), "text/html; charset=EUC-KR"),
        response(plain.encode("cp949", "xmlcharrefreplace"), "text/html"),  # only the bytes say so
        response(plain.encode("utf-16"), "text/html"),
        response(gzip.compress(plain.encode()), "text/html", "200 OK", "Content-Encoding: gzip"),
        response(BODY.encode("cp949"), "text/plain; charset=ks_c_5601-1987"),
        response(b"\x89PNG", "image/png"),
        response(PAGE.encode(), "text/html", "404 Not Found"),
        response(b"\x1f\x8bbroken", "text/html", "200 OK", "Content-Encoding: gzip"),
    ]
    found = items(make(tmp_path / "a.warc.gz", warc(answers)))
    pages = [item for item in found if isinstance(item, Record) and item.text]
    assert len(pages) == 6 and all(BODY in page.text and "�" not in page.text for page in pages)
    assert pages[0].meta["url"] == "https://site.example/1" and pages[0].meta["crawled"] == "2024-05-06"
    assert pages[0].meta["date"] == "2024-01-02" and pages[0].id == "00000000-0000-0000-0000-000000000001"
    assert pages[5].text == BODY
    assert (
        isinstance(found[-1], Failure)
        and "image/png 1" in found[-1].reason
        and "HTTP 404 1" in found[-1].reason
    )


def test_warc_unpacked_and_big_ones_are_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = items(make(tmp_path / "a.warc", warc([response(PAGE.encode())], packed=False)))
    assert isinstance(found, Record) and BODY in found.text
    monkeypatch.setattr("kodata.sources.warc.MAX_PAGE_BYTES", 1000)
    bomb = response(gzip.compress(bytes(10_000_000)), "text/html", "200 OK", "Content-Encoding: gzip")
    found, after = items(
        make(tmp_path / "b.warc", warc([bomb, response(b"<html><body><p>x</p></body></html>")]))
    )
    assert isinstance(found, Failure) and isinstance(after, Record)


@pytest.mark.parametrize("name", ["a.warc.gz", "a.warc"])
def test_cut_warcs_keep_what_was_there_and_are_named(tmp_path: Path, name: str) -> None:
    data = warc([response(PAGE.encode())] * 5, packed=name.endswith("gz"))
    found = items(make(tmp_path / name, data[: int(len(data) * 0.7)]))
    assert isinstance(found[0], Record) and isinstance(found[-1], Failure)
    assert any(word in found[-1].reason for word in ("끊김", "깨짐"))
    assert isinstance(items(make(tmp_path / name, b"no archive at all " * 50))[0], Failure)
    assert "없음" in reason(make(tmp_path / name, gzip.compress(b"") if name.endswith("gz") else b""))


def test_pages_made_to_cost_time_do_not(tmp_path: Path) -> None:
    """The square of any of these would be minutes, which the suite's timeout notices."""
    for made in (
        "<div>" * 20_000 + BODY + "</div>" * 20_000,
        f"<p>{BODY} <a href=x>링크</a></p>" * 5000,
        "<meta name=a content=b>" * 20_000 + BODY,
        "<a href=x>" * 20_000 + BODY,
    ):
        items(make(tmp_path / "a.html", f"<html><body>{made}".encode()))


# --- books


def test_epub_in_spine_order_with_headings(tmp_path: Path) -> None:
    chapters = {
        "b.xhtml": "<h1>둘째 장</h1><p>둘째 글이다.</p><aside epub:type='footnote'><p>주석이다.</p></aside>",
        "a.xhtml": "<h1>첫째 장</h1><h2>첫\n 절</h2><p>첫 글이\n  이어진다.<br/>새 줄이다.</p><ul><li>하나</li><li>둘</li></ul>"
        "<table><tr><td>가</td><td>나</td></tr></table><pre>x = 1\n  y</pre><nav><p>차례</p></nav>",
    }
    found = one(make(tmp_path / "a.epub", epub(chapters, ["a.xhtml", "b.xhtml"])))
    assert found.text == (
        "# 첫째 장\n\n## 첫 절\n\n첫 글이 이어진다.\n새 줄이다.\n\n- 하나\n- 둘\n\n가 | 나\n\n```\nx = 1\n  y\n```\n\n# 둘째 장\n\n둘째 글이다.\n\n주석이다."
    )
    assert found.meta == {
        "title": "산책의 책",
        "author": "홍길동",
        "licence": "CC0",
        "kind": "book",
        "file": "a.epub",
    }


def test_epub_entities_are_not_expanded_and_bad_chapters_are_named(tmp_path: Path) -> None:
    secret = make(tmp_path / "secret.txt", "비밀".encode())
    evil = f'<!DOCTYPE x [<!ENTITY e SYSTEM "file://{secret}">]>'
    data = epub({"a.xhtml": f"<p>{BODY}</p>"}, **{"OEBPS/book.opf": evil + "<package><spine/></package>"})
    assert "비밀" not in str(items(make(tmp_path / "a.epub", data)))
    missing = epub({"a.xhtml": f"<p>{BODY}</p>", "b.xhtml": "x"})
    import zipfile

    with zipfile.ZipFile(io.BytesIO(missing)) as archive:
        some = {n: archive.read(n) for n in archive.namelist() if not n.endswith("b.xhtml")}
    found = items(make(tmp_path / "b.epub", zipped(some)))
    assert isinstance(found[0], Record) and isinstance(found[1], Failure) and "b.xhtml" in found[1].place


def test_epub_bombs_cuts_and_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = epub({"a.xhtml": "가" * 8_000_000})
    assert "너무 큼" in reason(make(tmp_path / "a.epub", bomb))
    whole = epub({"a.xhtml": BODY})
    assert "잘렸거나" in reason(make(tmp_path / "b.epub", whole[: len(whole) // 2]))
    locked = '<encryption xmlns:e="x"><e:CipherReference URI="OEBPS/a.xhtml"/></encryption>'
    assert "DRM" in reason(
        make(tmp_path / "c.epub", epub({"a.xhtml": BODY}, **{"META-INF/encryption.xml": locked}))
    )
    deep = "<div>" * 5000 + BODY + "</div>" * 5000
    items(make(tmp_path / "d.epub", epub({"a.xhtml": deep})))  # no traceback
    monkeypatch.setattr("kodata.sources.container.MAX_TEXT_BYTES", 1000)
    found = items(make(tmp_path / "e.epub", epub({f"{i}.xhtml": f"<p>{BODY}</p>" for i in range(9)})))
    assert any(isinstance(item, Failure) for item in found)


def test_book_inside_a_zip(tmp_path: Path) -> None:
    found = items(make(tmp_path / "a.zip", zipped({"책/산책.epub": epub({"a.xhtml": f"<p>{BODY}</p>"})})))
    assert [item.text for item in found if isinstance(item, Record)] == [BODY]


# --- Hancom


def test_hwpx_structure(tmp_path: Path) -> None:
    header = '<hh:paraPr id="3"><hh:heading type="OUTLINE" level="1"/></hh:paraPr>'

    def p(text: str, shape: int = 0, more: str = "") -> str:
        return f'<hp:p paraPrIDRef="{shape}"><hp:run><hp:t>{text}</hp:t>{more}</hp:run></hp:p>'

    def cells(*texts: str) -> str:
        return (
            "<hp:tr>" + "".join(f"<hp:tc><hp:subList>{p(t)}</hp:subList></hp:tc>" for t in texts) + "</hp:tr>"
        )

    note = f"<hp:ctrl><hp:footNote><hp:subList>{p('주석이다.')}</hp:subList></hp:footNote></hp:ctrl>"
    running = f"<hp:ctrl><hp:header><hp:subList>{p('머리말')}</hp:subList></hp:header></hp:ctrl>"
    picture = "<hp:pic><hp:shapeComment>그림입니다. 원본 그림의 이름: CLP0001.bmp</hp:shapeComment></hp:pic>"
    body = p("제목", 3) + p(
        "첫 줄<hp:lineBreak/>둘째 줄<hp:tab/>끝<hp:deleteBegin/>지운 글<hp:deleteEnd/>",
        0,
        note + running + picture,
    )
    body += p("", 0, f"<hp:tbl>{cells('가', '나')}{cells('1', '2')}</hp:tbl>") + p(
        "", 0, f"<hp:tbl>{cells('상자 글')}</hp:tbl>"
    )
    found = one(make(tmp_path / "a.hwpx", hwpx(body, header)))
    assert found.text == "## 제목\n\n첫 줄\n둘째 줄 끝\n\n가 | 나\n1 | 2\n\n상자 글\n\n주석이다."
    assert found.meta == {"title": "보고서", "file": "a.hwpx"}


def test_hwpx_refusals(tmp_path: Path) -> None:
    assert "암호" in reason(
        make(tmp_path / "a.hwpx", hwpx("", **{"META-INF/manifest.xml": "<m><encryption-data/></m>"}))
    )
    assert "깨짐" in reason(make(tmp_path / "b.hwpx", hwpx("<hp:p>")))
    assert "본문이 없음" in reason(make(tmp_path / "c.hwpx", zipped({"mimetype": "application/hwp+zip"})))
    laughs = '<!DOCTYPE x [<!ENTITY a "하하"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]><sec><p><run><t>&b;</t></run></p></sec>'
    found = items(make(tmp_path / "d.hwpx", hwpx("", **{"Contents/section0.xml": laughs})))
    assert "하하" not in str(found)


def test_hwp_structure(tmp_path: Path) -> None:
    shapes = record(25, 0, struct.pack("<I", 0) + bytes(50)) + record(
        25, 0, struct.pack("<I", 1 << 23 | 2 << 25) + bytes(50)
    )
    first = (
        "앞 글".encode("utf-16-le")
        + extended(11)
        + " 뒤 글".encode("utf-16-le")
        + struct.pack("<H", 10)
        + "둘째 줄\r".encode("utf-16-le")
    )
    section = paragraph("제목", shape=1) + paragraph(first)
    section += control("tbl ", 1) + record(77, 2, bytes(22))
    for row in range(2):
        for column in range(2):
            section += cell(column, row, 2) + paragraph(f"{row}{column}", 2)
    section += (
        paragraph("주석 달린 글") + control("fn  ", 1) + record(72, 2, bytes(16)) + paragraph("주석이다.", 2)
    )
    section += control("head", 1) + record(72, 2, bytes(16)) + paragraph("머리말", 2) + paragraph("가" * 3000)
    found = one(make(tmp_path / "a.hwp", hwp(section, shapes)))
    assert (
        found.text
        == f"### 제목\n\n앞 글 뒤 글\n둘째 줄\n\n00 | 01\n10 | 11\n\n주석 달린 글\n\n{'가' * 3000}\n\n주석이다."
    )
    assert one(make(tmp_path / "b.hwp", hwp(section, shapes, flags=0))).text.startswith("### 제목")


@pytest.mark.parametrize(("flags", "word"), [(3, "암호"), (5, "배포용"), (17, "DRM")])
def test_hwp_refusals(tmp_path: Path, flags: int, word: str) -> None:
    assert word in reason(make(tmp_path / "a.hwp", hwp(paragraph(BODY), flags=flags)))


def test_hwp_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = hwp(paragraph(BODY))
    for size in (100, 600, 3000, len(whole) - 600):
        assert isinstance(items(make(tmp_path / "a.hwp", whole[:size]))[-1], Failure)
    assert "3.x" in reason(make(tmp_path / "b.hwp", b"HWP Document File V3.00 \x1a" + bytes(100)))
    assert "끊김" in reason(make(tmp_path / "c.hwp", hwp(paragraph(BODY) + record(67, 1, bytes(100))[:-50])))
    monkeypatch.setattr("kodata.sources.hwp.MAX_PIECE_BYTES", 1000)
    assert "너무 큼" in reason(make(tmp_path / "d.hwp", hwp(paragraph(BODY * 20))))


@given(st.binary(max_size=400))
def test_hwp_records_of_any_bytes_are_text_or_refused(data: bytes) -> None:
    from kodata.sources.hwp import _Body, records
    from kodata.sources.layout import Layout

    body = _Body(Layout(), [1], [])
    try:
        for item in records(data):
            body.take(*item)
    except BrokenInput:
        pass
    body.end()
    assert isinstance(paragraph_text(data), str)


# --- XML


JATS = f"""<?xml version="1.0"?><!DOCTYPE article PUBLIC "-//NLM//DTD JATS//EN" "x.dtd">
<article xmlns:xlink="http://www.w3.org/1999/xlink" xml:lang="ko"><front><journal-meta><journal-title>어느 학회지</journal-title></journal-meta>
<article-meta><article-id pub-id-type="doi">10.1/x</article-id><title-group><article-title>산책의 <italic>효과</italic></article-title></title-group>
<pub-date><day>3</day><month>2</month><year>2021</year></pub-date>
<permissions><license xlink:href="https://creativecommons.org/licenses/by/4.0/"><license-p>CC</license-p></license></permissions>
<abstract><p>초록 글이다.</p></abstract></article-meta></front><body><sec><label>1</label><title>서론</title>
<p>{BODY}<sup><xref ref-type="bibr" rid="r1">1</xref></sup> <inline-formula><tex-math>$x^2$</tex-math></inline-formula></p>
<sec><title>방법</title><p>다음과 같다. <list><list-item><p>하나</p></list-item><list-item><p>둘</p></list-item></list> 끝이다.</p></sec>
<table-wrap><caption><p>표 제목</p></caption><table><tr><th>가</th><th>나</th></tr></table></table-wrap></sec></body>
<back><ref-list><ref><mixed-citation>남의 글</mixed-citation></ref></ref-list></back></article>"""  # fmt: skip


def test_jats(tmp_path: Path) -> None:
    found = one(make(tmp_path / "a.nxml", JATS.encode()))
    assert found.text == (
        f"# 산책의 효과\n\n## 초록\n\n초록 글이다.\n\n## 서론\n\n{BODY} $x^2$\n\n### 방법\n\n다음과 같다.\n\n- 하나\n- 둘\n\n끝이다.\n\n표 제목\n\n가 | 나"
    )
    assert found.meta == {
        "kind": "academic", "title": "산책의 효과", "journal": "어느 학회지", "doi": "10.1/x", "date": "2021-02-03",
        "licence": "https://creativecommons.org/licenses/by/4.0/", "file": "a.nxml",
    }  # fmt: skip
    bare = JATS[JATS.index("<article") :]
    many = f"<set>{bare}<x/>{bare}</set>"
    assert len(items(make(tmp_path / "b.xml", many.encode("utf-16")))) == 2


def test_statute_xml(tmp_path: Path) -> None:
    law = """<?xml version="1.0" encoding="EUC-KR"?><법령><기본정보><법령ID>1</법령ID><법령명_한글><![CDATA[산책법]]></법령명_한글><시행일자>20240102</시행일자></기본정보>
    <조문><조문단위><조문여부>전문</조문여부><조문내용>제1장 총칙</조문내용></조문단위><조문단위><조문여부>조문</조문여부><조문내용>제1조(목적)</조문내용>
    <항><항내용><![CDATA[① 걷는다.]]></항내용><호><호내용>1.  천천히</호내용><목><목내용>가.  아침에</목내용></목></호></항></조문단위></조문>
    <부칙><부칙단위><부칙내용><![CDATA[부칙 <제1호>]]>
    <![CDATA[이 법은 공포한 날부터 시행한다.]]></부칙내용></부칙단위></부칙>
    <별표><별표단위><별표내용>┌─┐</별표내용></별표단위></별표></법령>"""
    found = one(make(tmp_path / "a.xml", law.encode("cp949")))
    assert found.text == (
        "# 산책법\n\n### 제1장 총칙\n\n제1조(목적)\n① 걷는다.\n1. 천천히\n가. 아침에\n\n## 부칙 <제1호>\n\n이 법은 공포한 날부터 시행한다."
    )
    assert found.meta == {
        "title": "산책법",
        "kind": "law",
        "law_id": "1",
        "date": "2024-01-02",
        "omitted_tables": 1,
        "file": "a.xml",
    }


def test_unknown_and_broken_xml_is_named(tmp_path: Path) -> None:
    assert "<things>" in reason(make(tmp_path / "a.xml", b"<things><b/></things>"))
    assert "깨짐" in reason(make(tmp_path / "b.xml", b"<article><p>"))
    laughs = '<!DOCTYPE l [<!ENTITY a "haha">' + "".join(
        f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(9)
    )
    found = items(make(tmp_path / "c.xml", f"{laughs}]><article><body><p>&j;</p></body></article>".encode()))
    assert "haha" not in str(found)
    deep = "<sec>" * 240 + "<p>글</p>" + "</sec>" * 240
    items(make(tmp_path / "d.xml", f"<article><body>{deep}</body></article>".encode()))  # no traceback


# --- gettext


PO = r"""# 머리말
msgid ""
msgstr "Content-Type: text/plain; charset=UTF-8\n"

#: a.c:1
msgid "One"
msgstr "하나"

#, fuzzy
#| msgid "before"
msgid "Two"
msgstr "둘일지도"

msgctxt "menu"
msgid "Three"
"more"
msgstr ""
"세 \"번째\"\n"
"줄"
msgid "four"
msgid_plural "fours"
msgstr[0] "네 개"

msgid "none"
msgstr ""
#~ msgid "old"
#~ msgstr "옛것"
"""


def test_po(tmp_path: Path) -> None:
    found = one(make(tmp_path / "a.po", PO.encode()))
    assert found.text == '하나\n세 "번째"\n줄\n네 개' and found.meta == {"untranslated": 2, "file": "a.po"}
    assert "gettext" in reason(make(tmp_path / "b.po", b"nothing here\n"))


@given(st.text(max_size=200))
def test_po_of_any_text(text: str) -> None:
    list(entries(text))


# --- any bytes under any name


@pytest.mark.parametrize("form", ["warc", "epub", "hwpx", "hwp", "xml", "po", "html"])
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 5000,
        b"PK\x03\x04" + b"x" * 200,
        b"\xff\xfe" * 300,
        "글".encode("cp949") * 500,
        b"<" * 3000,
    ],
)
def test_no_reader_falls_over(tmp_path: Path, form: str, data: bytes) -> None:
    path = make(tmp_path / "a", data)
    found = list(read(Part(path=str(path), name="a", form=form), Settings()))
    assert found and all(isinstance(item, Record | Failure) for item in found)


def test_real_files_are_read(real_data: Path) -> None:
    for folder, least in (("law/law_go_kr_xml", 25), ("web/python_docs_po", 19)):
        files = sorted((real_data / "raw" / folder).iterdir())
        found = [one(file) for file in files]
        assert len(found) >= least and all(sum("가" <= c <= "힣" for c in item.text) > 20 for item in found)
    for file in sorted((real_data / "raw/web/apache2_doc_ko_euckr").glob("*.html"))[:10]:
        assert "�" not in one(file).text


# --- Markdown heads, standard input


def test_front_matter_goes_into_meta(tmp_path: Path) -> None:
    head = "---\ntitle: 산책\nauthor: 홍길동\ndate: 2024/3/4\ntags: [가, 나]\n---\n\n# 산책\n\n"
    found = one(make(tmp_path / "a.Rmd", (head + BODY).encode()))
    assert found.text.strip() == f"# 산책\n\n{BODY}"
    assert found.meta == {"title": "산책", "byline": "홍길동", "date": "2024-03-04", "file": "a.Rmd"}
    for odd in ("---\nno: [yaml\n---\n글", "---\n그냥 글\n---\n글", "---\n글", "글\n---\na: b\n---\n"):
        assert one(make(tmp_path / "b.md", odd.encode())).text == odd
    laughs = (
        "---\n"
        + "\n".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9) if i else '하'}]" for i in range(9))
        + "\n---\n글"
    )
    assert one(make(tmp_path / "c.md", laughs.encode())).meta == {"file": "c.md"}


def test_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import json
    import types

    from kodata.doc import Corpus
    from kodata.pipeline import CleanConfig, clean
    from kodata.run.errors import UserError

    rows = "".join(
        json.dumps({"text": f"{BODY} {i}번째 날이다."}, ensure_ascii=False) + "\n" for i in range(5)
    ).encode()

    def piped(data: bytes) -> None:
        monkeypatch.setattr("sys.stdin", types.SimpleNamespace(buffer=io.BytesIO(data), isatty=lambda: False))

    for name in ("out", "other"):
        piped(rows)
        clean(["-"], output=tmp_path / name, config=CleanConfig(), workers=1)
    first, second = ([d.to_dict() for d in Corpus(tmp_path / name)] for name in ("out", "other"))
    assert len(first) == 5 and first == second and first[0]["source"] == "stdin"
    piped(rows)
    clean(["-"], output=tmp_path / "out", config=CleanConfig(), workers=1)  # the same again: done
    piped(b"")
    with pytest.raises(UserError, match="표준 입력"):
        clean(["-"], output=tmp_path / "empty", config=CleanConfig(), workers=1)
    assert not list(tmp_path.glob(".*.stdin"))


def test_json_nested_too_deep_is_a_broken_line_and_brackets_in_text_are_not() -> None:
    from kodata.sources.rows import MAX_DEPTH, json_lines

    deep = "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1)
    data = "\n".join([deep, deep[1:-1], '{"text": "' + "[" * 1000 + '"}']).encode()
    found = [wrong for _, _, wrong in json_lines(io.BufferedReader(io.BytesIO(data)))]  # type: ignore[arg-type]
    assert "deep" in found[0] and found[1:] == ["", ""]
