"""What stands around a text and is not the text: by how many documents of a site share a line, and by rules.

The first pass (`counting`) counts the lines at heads and tails of documents; `frequency` cuts those many documents of the
same site share; `rules` cuts bylines, copyright lines and links that a rule can tell from one text alone.
"""

from __future__ import annotations

from kodata.boilerplate.frequency import Cut, Frames
from kodata.boilerplate.rules import Trimmed, may_end_in_frame, trim_by_rules

__all__ = ["Frames", "Trimmed", "may_be_framed", "trim"]


def may_be_framed(text: str) -> bool:
    """False when `trim_by_rules` surely cuts nothing: no dateline at the head, no frame in the last line."""
    if text.lstrip()[:1] in ("(", "[", "【"):
        return True
    return "\n" in text and may_end_in_frame(text[text.rfind("\n") + 1 :])


def trim(text: str, frames: Frames | None = None, site: str = "") -> Trimmed:
    """Cut the frame of a text. frames: lines counted over the run; site: whose lines these are."""
    first = frames.trim(text, site) if frames is not None else Cut(text, (), 0)
    second = trim_by_rules(first.text)
    if not second.cut:
        return Trimmed(first.text, first.cut)
    head = [piece for piece in second.cut if text.find(piece) < text.find(second.text)]
    return Trimmed(
        second.text, (*first.cut[: first.head], *head, *second.cut[len(head) :], *first.cut[first.head :])
    )
