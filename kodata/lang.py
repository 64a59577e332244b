"""The language of a document: script shares first, a bundled model only where they do not decide.

Hangul, kana and hanja name their languages by themselves. Two cases are left to a model: a text in Latin or another
script (en, de, vi, …), and one with some Hangul among more foreign letters. The model is py3langid (LangID.py's naive
Bayes over byte n-grams, 97 languages, BSD-3, 4.5 MB inside its wheel, pure Python and numpy, no download). Chosen by
measurement on Korean and English message catalogues and mixed sentences: it and CLD2 are right on every text of 100 to 500
characters, lid.176.ftz on 97 to 99 %; CLD2 calls a Korean sentence with English terms English, py3langid does not; and the
packages around lid.176.ftz overwrite the module of the fastText trainer. Programs are told by their lines.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from kodata.run.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from kodata.text import Measures

KOREAN, CODE, UNKNOWN = "ko", "code", "und"
LANGUAGES = frozenset(
    "af am an ar as az be bg bn br bs ca cs cy da de dz el en eo es et eu fa fi fo fr ga gl gu he hi hr ht hu hy id is it ja "
    "jv ka kk km kn ko ku ky la lb lo lt lv mg mk ml mn mr ms mt nb ne nl nn no oc or pa pl ps pt qu ro ru rw se si sk sl sq "
    "sr sv sw ta te th tl tr ug uk ur vi vo wa xh zh zu".split()
)
UNSPACED = frozenset("ja zh th lo km dz".split())
"""Languages written without spaces: rules that count words say nothing there."""
LEAST_KOREAN = 0.15
"""Below this share of Korean letters a text is not asked about: it is not Korean."""
KANA, HANJA = 0.05, 0.6
_SAMPLE = 3000
_NOT_TEXT = re.compile(r"```.*?(?:```|\Z)|`[^`\n]+`|https?://\S+|</?[A-Za-z][^<>]{0,200}>", re.S)


def asked(languages: str) -> tuple[str, ...]:
    """`ko,en,code` as a tuple, Korean first. Raises UsageError for an unknown code or without ko."""
    names = [name.strip().lower() for name in languages.split(",") if name.strip()]
    known = LANGUAGES | {CODE}
    for name in names:
        if name not in known:
            raise UsageError(
                f"모르는 언어 (unknown language): {name}",
                did_you_mean(name, sorted(known))
                or "두 글자 코드나 code, 예: --lang ko,en,code (two-letter codes or code)",
            )
    if KOREAN not in names:
        raise UsageError(
            f"--lang 에는 ko 가 있어야 합니다 (ko must be among them): {languages}", "--lang ko,en,code"
        )
    return (KOREAN, *sorted(set(names) - {KOREAN}))


_model: Any = None


def by_model(text: str) -> str:
    """What the bundled model says of the first characters of a text."""
    global _model
    if _model is None:
        import py3langid

        _model = py3langid
    sample = _NOT_TEXT.sub(" ", text[: 2 * _SAMPLE])[:_SAMPLE]
    return str(_model.classify(sample)[0]) if sample.strip() else UNKNOWN


_CODE_LINE = re.compile(
    r"\s*(?:(?:def|class|import|from|return|if|elif|else|for|while|try|except|with|public|private|protected|static|const|let|var"
    r"|function|func|fn|use|pub|impl|struct|enum|package|using|namespace|void|int|SELECT|INSERT|CREATE|export|async)\b.*[:;{}()=\[\],'\"]\s*$"
    r"|#include\b|#define\b|[})\]]+[;,)]*\s*$|(?:return|raise|yield|pass|break|continue|finally|except|else)\b.{0,80}$|.*[(\[{};]\s*$|.*[\w)\]}'\"],\s*$|.*\w\(.*\)\s*[:{;,]?\s*$|[\w.\[\]\"']+\s*(?:[-+*/|&]?=|:=|<-)\s*\S|.*=>\s*[{(\w])"
)
_COMMENT = re.compile(r"\s*(?:#(?!include|define)|//|/\*|\*|--|\"\"\"|''')")
_SAID = re.compile(r"#[^\n]*|//[^\n]*|/\*(?s:.*?)\*/|\"[^\"\n]*\"|'[^'\n]*'")
_DOCSTRING = re.compile(r"\"\"\"(?s:.*?)\"\"\"")
_HANGUL, _LETTER = re.compile("[가-힣]"), re.compile("[A-Za-z가-힣]")
CODE_LINES, LONG_LINE = 0.6, 300


def is_code(text: str) -> bool:
    """Is the text a program? 60 % of its lines beside comments are built like code; no code fence, no Korean but in comments and strings."""
    if not any(mark in text for mark in ("{", ";", "=", "def ", "import ")) or "```" in text:
        return False
    text = _DOCSTRING.sub("", text[:20_000])
    bare = _SAID.sub("", text)
    if 10 * len(_HANGUL.findall(bare)) > len(_LETTER.findall(bare)):
        return False
    lines = [line[:LONG_LINE] for line in text.split("\n") if line.strip() and not _COMMENT.match(line)]
    built = sum(_CODE_LINE.match(line) is not None for line in lines)
    return len(lines) >= 3 and built >= CODE_LINES * len(lines)


def language(found: Measures, text: str) -> str:
    """The language of a text whose share of Korean letters did not make it Korean: a code of LANGUAGES, or `und`."""
    if found.kana > KANA:
        return "ja"
    if found.korean >= LEAST_KOREAN:
        return by_model(text)
    if found.hanja > HANJA:
        return "zh"
    if not any(c.isalpha() for c in text[:_SAMPLE]):
        return UNKNOWN
    label = by_model(text)
    return UNKNOWN if label == KOREAN else label
