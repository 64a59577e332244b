"""HTML extractors side by side on the same pages: how much of the text they recover, how much frame they keep.

    python tests/bench/extraction.py [DATA] [--pages N]

The reference of a page is the region its site's own template marks as the text (an id or class), the rest of the body is
frame; news and blog pages, which the data lacks, are made here from Korean sentences of our own. No text is stored.
recall: share of the reference's words in the output. frame: share of the frame's words in the output (words that the
reference also has do not count). headings: share of the reference's h1-h6 that stand as lines of their own.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import lxml.html

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from kodata.text.encoding import declared_charset, decode
from tests.made_korean import sentence

TEMPLATES = {
    "web/gimp_help_ko": ("//body/div[starts-with(@class,'sect') or @class='chapter' or @class='glossary' or @class='appendix' or @class='preface']", ""),
    "web/libreoffice_help_ko": ("//*[@id='DisplayArea']", ""),
    "web/apache2_doc_ko_euckr": ("//*[@id='page-content']", ".//*[@class='toplang' or @id='quickview']"),
    "academic/statkclee_html": ("//body/div[contains(@class,'main-container')]", ".//*[contains(@class,'navbar') or @id='TOC']"),
}  # fmt: skip


class Page(NamedTuple):
    """html, and the words of its reference, of its frame, and its headings."""

    site: str
    html: str
    text: Counter[str]
    frame: Counter[str]
    headings: list[str]


def visible(element: Any) -> list[str]:
    """Words a reader sees."""
    return " ".join(
        t for t in element.xpath(".//text()[not(ancestor::script or ancestor::style or ancestor::noscript)]")
    ).split()


def _page(site: str, html: str, region: str, without: str) -> Page | None:
    body = html.partition("?>")[2] if html.lstrip().startswith("<?xml") else html
    root = lxml.html.document_fromstring(body)
    found = root.xpath(region)
    if not found:
        return None
    whole = Counter(visible(root.body))
    for element in found[0].xpath(without) if without else ():
        element.drop_tree()
    text = Counter(visible(found[0]))
    headings = [
        " ".join(h.text_content().split()) for h in found[0].xpath(".//h1|.//h2|.//h3|.//h4|.//h5|.//h6")
    ]
    return Page(site, html, text, whole - text, [h for h in headings if h])


def real_pages(data: Path, limit: int) -> Iterator[Page]:
    """Pages of the real data, by site."""
    for site, (region, without) in TEMPLATES.items():
        for file in sorted((data / "raw" / site).glob("*.html"))[:limit]:
            raw = file.read_bytes()
            if page := _page(
                site.rpartition("/")[2], decode(raw, declared_charset(raw)).text, region, without
            ):
                yield page


def made_pages(count: int) -> Iterator[Page]:
    """News and blog pages as Korean sites build them, with our own sentences."""
    rng = random.Random(7)
    pool = [sentence(rng) for _ in range(2000)]
    for number in range(count):
        take = lambda n: [rng.choice(pool) for _ in range(n)]  # noqa: E731
        links = "".join(
            f"<li><a href='/a/{i}'>{' '.join(s.split()[:5])}</a></li>" for i, s in enumerate(take(12))
        )
        paragraphs = [" ".join(take(rng.randint(1, 5))) for _ in range(rng.randint(2, 9))]
        if number % 3 == 0:  # a newspaper, lines parted by <br>
            body = (
                "<h2 class='title'>"
                + " ".join(take(1))
                + "</h2><div id='main'>"
                + "<br><br>".join(paragraphs)
                + "</div>"
            )
        elif number % 3 == 1:  # a blog with headings and a list
            body = "<div id='main'><h2>" + " ".join(take(1)[0].split()[:4]) + "</h2>"
            body += "".join(f"<p>{p}</p>" for p in paragraphs)
            body += (
                "<h3>준비물</h3><ul>"
                + "".join(f"<li>{' '.join(s.split()[:4])}</li>" for s in take(4))
                + "</ul></div>"
            )
        else:  # a board, one div a line
            body = (
                "<div id='main'>" + "".join(f"<div>{p}</div><div>&nbsp;</div>" for p in paragraphs) + "</div>"
            )
        html = (
            f"<!doctype html><html lang=ko><head><meta charset=utf-8><title>{number}</title></head><body>"
            "<div id=header><ul class=gnb><li><a href=/1>정치</a></li><li><a href=/2>경제</a></li><li><a href=/3>사회</a></li>"
            "<li><a href=/login>로그인</a></li></ul></div>"
            f"<div class=wrap><div class=article_view>{body}<div class=share><a href=#>공유하기</a> <a href=#>인쇄하기</a></div></div>"
            f"<div class=aside><h4>많이 본 기사</h4><ul>{links}</ul></div></div>"
            "<div id=footer><p>서울시 어느구 어느로 1 대표 아무개 사업자등록번호 000-00-00000</p><p>Copyright 어느신문 All rights reserved.</p></div>"
            "</body></html>"
        )
        page = _page("made_news_blog", html, "//*[@id='main']", "")
        assert page is not None
        yield page


def contenders() -> dict[str, Callable[[str], str]]:
    """Name -> html to text."""
    import logging

    import trafilatura
    from resiliparse.extract.html2text import extract_plain_text

    from kodata.sources.html import extract

    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)

    def traf(**options: Any) -> Callable[[str], str]:
        return lambda html: (
            trafilatura.extract(html, include_comments=False, include_tables=True, **options) or ""
        )

    def resi(**options: Any) -> Callable[[str], str]:
        return lambda html: extract_plain_text(html, alt_texts=False, **options)

    return {
        "trafilatura": traf(),
        "trafilatura fast": traf(fast=True),
        "trafilatura recall": traf(favor_recall=True),
        "trafilatura precision": traf(favor_precision=True),
        "resiliparse main": resi(main_content=True, preserve_formatting=True),
        "resiliparse all": resi(main_content=False, preserve_formatting=True),
        "kodata (chosen)": lambda html: extract(html)[0],
    }


def measure(extract: Callable[[str], str], pages: list[Page]) -> dict[str, float]:
    """recall, frame, headings as shares over the words of all pages, and CPU seconds a page."""
    got = wanted = kept = frame = lines_found = lines = 0
    before = resource.getrusage(resource.RUSAGE_SELF)
    outputs = [extract(page.html) for page in pages]
    after = resource.getrusage(resource.RUSAGE_SELF)
    for page, output in zip(pages, outputs, strict=True):
        words = Counter(output.replace("&lt;", "<").replace("&gt;", ">").split())
        got += (words & page.text).total()
        wanted += page.text.total()
        kept += ((words - page.text) & page.frame).total()
        frame += page.frame.total()
        own = {
            " ".join(line.lstrip("#•- ").split()).rstrip(" ¶")
            for line in output.replace("&lt;", "<").replace("&gt;", ">").split("\n")
        }
        lines_found += sum(h in own for h in page.headings)
        lines += len(page.headings)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "recall": got / max(wanted, 1), "frame": kept / max(frame, 1),
        "headings": lines_found / max(lines, 1), "ms": 1000 * seconds / len(pages),
    }  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "data", nargs="?", default=Path(__file__).resolve().parents[3] / "shared" / "data", type=Path
    )
    parser.add_argument("--pages", type=int, default=30, help="pages a site")
    arguments = parser.parse_args()
    pages = [*real_pages(arguments.data, arguments.pages), *made_pages(arguments.pages)]
    sites = list(dict.fromkeys(page.site for page in pages))
    print(f"{'':24}{'all':>34}   " + "  ".join(f"{site[:20]:>20}" for site in sites))
    print(
        f"{'':24}{'recall  frame  headings  ms/page':>34}   "
        + "  ".join(f"{'recall  frame':>20}" for _ in sites)
    )
    for name, extract in contenders().items():
        by_site = [measure(extract, [p for p in pages if p.site == site]) for site in sites]
        whole = {key: sum(m[key] for m in by_site) / len(by_site) for key in by_site[0]}
        row = f"{name:24}{whole['recall']:8.3f}{whole['frame']:7.3f}{whole['headings']:9.3f}{whole['ms']:10.1f}   "
        print(row + "  ".join(f"{m['recall']:13.3f}{m['frame']:7.3f}" for m in by_site), flush=True)


if __name__ == "__main__":
    main()
