"""A token and a tokenizer for human eyes."""

from __future__ import annotations

from typing import Any

from kotok.judged import Judged


def show(token: bytes) -> str:
    """A token for human eyes: text where it is UTF-8, `<E3>` for stray bytes, escapes for control characters."""
    out = []
    for c in token.decode("utf-8", "surrogateescape"):
        if 0xDC80 <= ord(c) <= 0xDCFF:
            out.append(f"<{ord(c) - 0xDC00:02X}>")
        else:
            out.append(c if c.isprintable() else c.encode("unicode_escape").decode())
    return "".join(out)


def facts_of(tokenizer: Judged) -> dict[str, Any]:
    """Kind, sizes, control tokens and longest tokens by their names, in the order they are shown."""
    sizes = tokenizer.token_bytes()
    longest = [show(tokenizer.token(int(i))) for i in sizes.argsort(kind="stable")[::-1][:12]]
    hangul = sum(
        1
        for i in range(tokenizer.vocab_size)
        if any("가" <= c <= "힣" for c in tokenizer.token(i).decode("utf-8", "ignore"))
    )
    return {
        "종류 (kind)": tokenizer.kind,
        "어휘 (vocabulary)": tokenizer.vocab_size,
        "한글이 든 토큰 (tokens with Hangul)": hangul,
        "제어 토큰 (control tokens)": " ".join(f"{name}={i}" for name, i in tokenizer.control.items()) or "–",
        "지문 (fingerprint)": tokenizer.fingerprint,
        "가장 긴 토큰 (longest tokens)": " ".join(f"[{t}]" for t in longest),
    }
