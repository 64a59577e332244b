"""From token ids to text while they come: whole characters only, and never past a stop string."""

import codecs
from collections.abc import Sequence
from typing import Any


class Characters:
    """Decodes ids one by one. A character whose bytes are not all there yet waits for the rest.

    Control tokens give no text. Bytes that can never become a character give U+FFFD; an unfinished character at the very
    end is left out, for half a syllable is not text.
    """

    def __init__(self, tokenizer: Any):
        self._tokenizer = tokenizer
        self._bytes = tokenizer.merges is not None
        """Byte-level: each id is some bytes. Other kinds decode a window of ids, for spaces depend on what stands before."""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._window: list[int] = []
        self._said = ""

    def push(self, token: int) -> str:
        """The characters that this id completes, often none."""
        if self._bytes:
            return self._decoder.decode(self._tokenizer.decode_bytes([token], skip_special=True))
        self._window.append(token)
        text = self._tokenizer.decode(self._window, skip_special=True)
        if text.endswith("\N{REPLACEMENT CHARACTER}") or not text.startswith(self._said):
            return ""
        new = text[len(self._said) :]
        self._said = text
        if (
            len(self._window) >= 64
        ):  # keep the last ids as context, so that long answers do not cost their square
            self._window = self._window[-8:]
            self._said = self._tokenizer.decode(self._window, skip_special=True)
        return new


class UntilStop:
    """Lets text through up to the first stop string, which it leaves out; what may be the beginning of one waits."""

    def __init__(self, stops: Sequence[str], *, strip: bool = False):
        self._stops = tuple(stops)
        self._held = ""
        self._strip = strip
        """Leave out white space before the first character (the template's space after `Assistant:`)."""
        self.stopped = False

    def push(self, text: str) -> str:
        """The text that can go out now."""
        if self.stopped:
            return ""
        if self._strip:
            text = text.lstrip()
            self._strip = not text
        self._held += text
        places = [(at, stop) for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if places:
            self.stopped = True
            out, self._held = self._held[: min(places)[0]], ""
            return out
        keep = max((_overlap(self._held, stop) for stop in self._stops), default=0)
        out, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return out

    def end(self) -> str:
        """What was held back, once nothing follows."""
        out, self._held = self._held, ""
        return out


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that begins `stop`."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)
