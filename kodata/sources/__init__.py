"""One reader per form a source comes in. A reader yields Records and Failures, streaming; it never judges a text.

recognise(path) -> form          by suffix, else by the first bytes
parts(path, form, …) -> [Part]   how a file is cut into pieces that workers can read alone
read(part, settings) -> Iterator[Record | Failure]
"""

from __future__ import annotations

from kodata.sources.forms import FORMS, parts, read, recognise
from kodata.sources.record import Failure, Part, Record, Settings, SourceRule

__all__ = ["FORMS", "Failure", "Part", "Record", "Settings", "SourceRule", "parts", "read", "recognise"]
