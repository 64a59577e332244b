"""Every layout, in the order in which they are tried. A data set delivered in a new form is one entry in one of these."""

from __future__ import annotations

from kodata.sources.aihub import asked, nikl, questions, talks, translations, written

LAYOUTS = (
    *nikl.LAYOUTS,
    *asked.LAYOUTS,
    *talks.LAYOUTS,
    *questions.LAYOUTS,
    *translations.LAYOUTS,
    *written.LAYOUTS,
)
