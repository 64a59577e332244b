"""Replacing personal data, and the audit of it: kinds and places in the new text, never values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

from kodata.pii.find import find
from kodata.pii.found import TAGS, Found
from kodata.pii.pseudonyms import stand_in
from kodata.run.errors import UsageError, did_you_mean
from kodata.run.flags import Parameter


@dataclass(kw_only=True, slots=True)
class PiiConfig:
    """What is done with personal data."""

    mode: Annotated[Literal["tag", "pseudonym", "off"], Parameter(name="--pii")] = "tag"
    """개인정보를 [전화번호] 같은 표로, 또는 실재하지 않는 같은 꼴의 값으로 바꿈, off 는 그대로 (typed tags, stand-ins of the same form, or leave alone)"""
    keep: Annotated[tuple[str, ...], Parameter(name="--pii-keep")] = ("public_phone",)
    """바꾸지 않을 종류: 대표번호 1588·080 은 사람이 아님, 기관 번호는 institution_phone business corporate (kinds left as they are)"""
    seed: Annotated[int, Parameter(name="--pii-seed")] = 0
    """pseudonym 의 열쇠: 같은 값은 같은 대역으로, 숨겨 두면 되짚지 못함 (key of the stand-ins; keep it secret)"""

    def __post_init__(self) -> None:
        if self.mode not in ("tag", "pseudonym", "off"):
            raise UsageError(
                f"모르는 방식 (unknown mode): {self.mode}",
                did_you_mean(self.mode, ["tag", "pseudonym", "off"]) or "tag | pseudonym | off",
            )
        for kind in self.keep:
            if kind not in TAGS:
                raise UsageError(
                    f"모르는 개인정보 종류 (unknown kind): {kind}",
                    did_you_mean(kind, list(TAGS)) or " | ".join(TAGS),
                )


class Masked(NamedTuple):
    """A text with personal data replaced, and where the replacements stand in it (ranges of the NEW text)."""

    text: str
    found: list[Found]


def mask(text: str, config: PiiConfig, bits: int | None = None) -> Masked:
    """Replace personal data as the config says. `bits`: `shapes(text)`, when it is known."""
    if config.mode == "off":
        return Masked(text, [])
    found = [item for item in find(text, bits) if item.kind not in config.keep]
    if not found:
        return Masked(text, [])
    pieces: list[str] = []
    placed: list[Found] = []
    position = length = 0
    for item in found:
        before = text[position : item.start]
        new = (
            TAGS[item.kind]
            if config.mode == "tag"
            else stand_in(item.kind, text[item.start : item.end], config.seed)
        )
        pieces += (before, new)
        length += len(before)
        placed.append(Found(length, length + len(new), item.kind))
        length += len(new)
        position = item.end
    pieces.append(text[position:])
    return Masked("".join(pieces), placed)
