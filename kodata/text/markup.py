"""HTML remains in plain text: tags, comments, entities, percent-encoded Hangul. Code spans are left alone.

A page ABOUT HTML must survive: nothing inside ``` fences or `inline code` is touched, only tags that format text are
taken, and a tag followed by the word 태그/요소 is being talked about. An escaped tag (&lt;b&gt;) is what an author wanted
to be read, so it stays escaped: decoded, a second pass would take it for a tag. Every pattern here is linear: an opener
that nothing closes is searched no further than the next opener.
"""

from __future__ import annotations

import re
from html import unescape
from html.entities import html5
from urllib.parse import unquote

_CODE = r"```.*?(?:```|\Z)|`[^`\n]+`"
_BLOCK = "br|p|div|li|ul|ol|tr|table|tbody|thead|tfoot|h[1-6]|hr|section|article|header|footer|blockquote|center|dl|dt|dd|pre|figure|figcaption"
_INLINE = "span|font|b|strong|i|em|u|s|a|img|small|big|sup|sub|td|th|col|colgroup|caption|nobr|o:p|tt|ins|del|strike"
_ALONE = {"br", "hr", "p", "li", "tr", "td", "img"}
_MARKUP = re.compile(
    rf"(?P<code>{_CODE})"
    r"|(?P<drop><!--(?:(?!<!--).)*?-->(?!(?:은|는|을|를|로|와|과|도|의|라고|처럼)(?![가-힣]))"
    r"|<(?P<raw>script|style)\b[^<>]{0,500}>(?:(?!<(?P=raw)\b).)*?</(?P=raw)\s*>)"
    rf"|(?P<tag><(?P<close>/?)(?:(?P<block>{_BLOCK})|(?P<inline>{_INLINE}))(?P<attributes>\s[^<>\n]{{0,1000}})?/?>)"
    r"(?!\s*(?:태그|요소|엘리먼트|tag))",
    re.S | re.I,
)
_ENTITY = re.compile(
    rf"(?P<code>{_CODE})"
    # <책 이름> and a < b cannot be read as tags
    r"|&lt;(?P<quoted>[가-힣\d\s][^<>&`\n]{0,200})&gt;"
    r"|(?<=[\s\d])&(?P<less>lt);(?=[\s\d=])|(?:(?<=[\s\d=])|(?<=[^-]-))&(?P<greater>gt);(?=[\s\d=])"
    r"|(?P<amp>&(?:(?:amp|#0*38|#[xX]0*26);)+)(?P<after>(?:[A-Za-z][A-Za-z0-9]{1,31}|#\d{1,7}|#[xX][0-9A-Fa-f]{1,6});)?"
    r"|(?P<one>&(?:[A-Za-z][A-Za-z0-9]{1,31}|#\d{1,7}|#[xX][0-9A-Fa-f]{1,6});)",
    re.S,
)
_PERCENT = re.compile(r"(?:%[Ee][A-Da-d]%[89ABab][0-9A-Fa-f]%[89ABab][0-9A-Fa-f])+")
_HANGUL_ONLY = re.compile("[가-힣]+")
_SIGN = re.compile(r"<[A-Za-z/!]|&[#A-Za-z]|%[Ee][A-Da-d]%")
_PAIRED = re.compile(
    rf"</(?:{_BLOCK}|{_INLINE})\s*>|<br\s*/?>|<!--|<(?:{_BLOCK}|{_INLINE})\s[^<>\n]{{0,1000}}=", re.I
)


def suspicious(text: str) -> bool:
    """True when the text holds something `strip_markup` may change (cheap: one search)."""
    return _SIGN.search(text) is not None


def _known(entity: str) -> str:
    if entity[1] == "#" or entity[1:] in html5:
        found = unescape(entity)
        return entity if "<" in found or ">" in found else found
    return entity


def _entity(match: re.Match[str]) -> str:
    if match.group("code"):
        return match.group()
    if (quoted := match.group("quoted")) is not None:
        return f"<{quoted}>"
    if match.group("less") or match.group("greater"):
        return "<" if match.group("less") else ">"
    if match.group("amp"):
        after = match.group("after")
        if after is None:
            return "&"
        return _known("&" + after)
    return _known(match.group("one"))


def _strip_tags(text: str) -> str:
    closed = {(m["block"] or m["inline"]).lower() for m in _MARKUP.finditer(text) if m["close"]}

    def replace(match: re.Match[str]) -> str:
        if match["code"]:
            return match.group()
        if match["drop"]:
            return ""
        name = (match["block"] or match["inline"]).lower()
        # An opening tag that nothing closes and that says nothing is a word of the text: 제목 (예: <div>)
        if not (match["close"] or name in closed or name in _ALONE or "=" in (match["attributes"] or "")):
            return match.group()
        return "\n" if match["block"] else ""

    return _MARKUP.sub(replace, text)


def escape_tags(text: str) -> str:
    """Text of a source whose markup is already gone: what still looks like a tag was written to be read, so it is
    escaped and `strip_markup` leaves it, now and on every later pass."""
    if "<" not in text:
        return text
    return _MARKUP.sub(
        lambda m: m.group() if m["code"] else m.group().replace("<", "&lt;").replace(">", "&gt;"), text
    )


def _percent(match: re.Match[str]) -> str:
    try:
        decoded = unquote(match.group(), errors="strict")
    except UnicodeDecodeError:
        return match.group()
    return decoded if _HANGUL_ONLY.fullmatch(decoded) else match.group()


def strip_markup(text: str) -> str:
    """Text without tags, comments and entities outside code; block tags become newlines. One pass: the caller
    repeats it until nothing changes (`&amp;amp;quot;` hides a quote). &lt; and &gt; stay unless no tag can come of them."""
    if "<" in text and _PAIRED.search(text):
        text = _strip_tags(text)
    if "&" in text:
        text = _ENTITY.sub(_entity, text)
    if "%" in text:
        text = _PERCENT.sub(_percent, text)
    return text
