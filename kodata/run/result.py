"""What a verb returns: where its output is, the numbers, and how to show them in a notebook."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(kw_only=True, slots=True)
class Result:
    """The result of one verb.

    path: the output (folder or file), or None when the verb only shows something.
    summary: machine-readable numbers. report: blocks of ``kodata.report``. lines: what a terminal user reads.
    """

    path: Path | None = None
    summary: dict[str, Any] = field(default_factory=dict)
    report: list[dict[str, Any]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """One JSON object: the output path and the summary (what ``--json`` prints)."""
        return {"path": None if self.path is None else str(self.path), **self.summary}

    def _repr_html_(self) -> str:
        from kodata.report.html import fragment

        return fragment(self.report) if self.report else "<pre>" + _escape("\n".join(self.lines)) + "</pre>"


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
