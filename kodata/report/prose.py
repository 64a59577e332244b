"""The little Markdown that reports need, as HTML: paragraphs, headings, lists, emphasis, code, links. HTML stays text."""

from __future__ import annotations

import re
from html import escape

from kodata.report.format import visible

_INLINE = re.compile(
    r"`(?P<code>[^`\n]+)`|\*\*(?P<strong>[^*\n]+)\*\*|\*(?P<em>[^*\s][^*\n]*)\*|\[(?P<words>[^\[\]\n]+)\]\((?P<link>[^()\s]+)\)"
)
_SAFE = re.compile(r"(https?://|#|[\w./%-]+$)", re.ASCII)


def html(markdown: str) -> str:
    out: list[str] = []
    paragraph: list[str] = []
    listed = fenced = ""
    code: list[str] = []

    def close() -> None:
        nonlocal listed
        if paragraph:
            out.append(f"<p>{_inline(' '.join(paragraph))}</p>")
            paragraph.clear()
        if listed:
            out.append(f"</{listed}>")
            listed = ""

    for line in visible(markdown).split("\n"):
        if fenced:
            if line.strip() == fenced:
                out.append(f"<pre><code>{escape(chr(10).join(code))}</code></pre>")
                fenced = ""
            else:
                code.append(line)
        elif line.startswith("```"):
            close()
            fenced = "`" * (len(line) - len(line.lstrip("`")))
            code = []
        elif heading := re.match(r"#{1,6} +(.+)", line):
            close()
            out.append(f'<p class="ko-h">{_inline(heading[1])}</p>')
        elif item := re.match(r"\s*(?:([-*])|\d{1,3}\.) +(.*)", line):
            kind = "ul" if item[1] else "ol"
            if listed != kind or paragraph:
                close()
                out.append(f"<{kind}>")
                listed = kind
            out.append(f"<li>{_inline(item[2])}</li>")
        elif not line.strip():
            close()
        else:
            if listed:
                close()
            paragraph.append(line.strip())
    if fenced:
        out.append(f"<pre><code>{escape(chr(10).join(code))}</code></pre>")
    close()
    return "".join(out)


def _inline(text: str) -> str:
    out, end = [], 0
    for match in _INLINE.finditer(text):
        out.append(escape(text[end : match.start()]))
        end = match.end()
        link = match["link"]
        if match["code"] is not None:
            out.append(f"<code>{escape(match['code'])}</code>")
        elif match["strong"] is not None:
            out.append(f"<strong>{escape(match['strong'])}</strong>")
        elif match["em"] is not None:
            out.append(f"<em>{escape(match['em'])}</em>")
        elif _SAFE.match(link) and "//" not in link.split("://", 1)[-1][:2]:
            out.append(f'<a href="{escape(link)}" rel="noreferrer noopener">{escape(match["words"])}</a>')
        else:  # javascript:, data: and the like stay text
            out.append(escape(match.group()))
    out.append(escape(text[end:]))
    return "".join(out)
