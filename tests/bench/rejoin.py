"""How many wrapped paragraphs are put together exactly, and how many of the cuts get the right blank.

    python tests/bench/rejoin.py [DATA] [--documents N]

Prose of the real data is wrapped at 30 to 80 columns (a syllable takes two), at words and at letters, eight paragraphs a
document with blank lines between. untouched: documents of the data, as they are, that come out changed (should be none).
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from kodata.text.rejoin import rejoin
from tests.kodata.test_rejoin import by_letters, by_words

PROSE = (
    "books/fiction_pd_a",
    "wiki/korquad_dev_contexts",
    "academic/statkclee_ds_authoring",
    "academic/d2l_ko",
    "law/precedents_civil_criminal",
)
AS_THEY_ARE = (
    *PROSE[:4],
    "books/bible_krv1961",
    "law/statutes_a",
    "web/react_dev_ko",
    "web/tldr_ko",
    "dialogue/nsmc_raw",
)
COLUMNS = (30, 40, 50, 60, 70, 80)


def texts(data: Path, name: str) -> Iterator[str]:
    """Texts of a file of the data."""
    with gzip.open(data / "corpus" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)["text"]


def documents(data: Path, name: str, count: int) -> list[list[str]]:
    """Up to `count` lists of eight paragraphs of prose."""
    found: list[list[str]] = [[]]
    for text in texts(data, name):
        for raw in text.split("\n"):
            paragraph = " ".join(raw.split())
            hangul = sum("가" <= c <= "힣" for c in paragraph)
            if len(paragraph) < 120 or hangul < 0.5 * len(paragraph) or any(c in paragraph for c in "|`<{"):
                continue
            found[-1].append(paragraph)
            if len(found[-1]) == 8:
                if len(found) == count:
                    return found
                found.append([])
    return [paragraphs for paragraphs in found if len(paragraphs) == 8]


def blanks(text: str) -> set[int]:
    """Places of blanks, counted in letters."""
    places, letters = set(), 0
    for character in text:
        if character.isspace():
            places.add(letters)
        else:
            letters += 1
    return places


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "data", nargs="?", default=Path(__file__).resolve().parents[3] / "shared" / "data", type=Path
    )
    parser.add_argument("--documents", type=int, default=4, help="documents a source")
    arguments = parser.parse_args()
    sources = {name: documents(arguments.data, name, arguments.documents) for name in PROSE}
    for label, wrap in (("words", by_words), ("letters", by_letters)):
        for columns in COLUMNS:
            paragraphs = exact = joined = cuts = wrong = 0
            for some in sources.values():
                for document in some:
                    wrapped = [wrap(paragraph, columns) for paragraph in document]
                    got = rejoin("\n\n".join(wrapped)).split("\n\n")
                    for paragraph, before, after in zip(document, wrapped, got, strict=True):
                        paragraphs += 1
                        exact += after == paragraph
                        if "\n" not in after:
                            joined += 1
                            cuts += before.count("\n")
                            wrong += len(blanks(paragraph) ^ blanks(after))
            print(
                f"{label:8}{columns:4} columns  paragraphs {paragraphs:4}  joined {joined / paragraphs:.3f}  exact {exact / paragraphs:.3f}"
                f"  cuts right {1 - wrong / max(cuts, 1):.4f} of {cuts}",
                flush=True,
            )
    for name in AS_THEY_ARE:
        changed = [
            text != rejoin(text) for _, text in zip(range(300), texts(arguments.data, name), strict=False)
        ]
        print(f"untouched {name}: {sum(changed)} of {len(changed)} changed")


if __name__ == "__main__":
    main()
