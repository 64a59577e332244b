"""Korean text: decoding, normalisation, measures. The modules are the reference; `fast` gives the same from the native core."""

from __future__ import annotations

from kodata.text.encoding import Decoded, declared_charset, decode, sniff
from kodata.text.fast import normalise
from kodata.text.many import measure
from kodata.text.measure import Measures

__all__ = ["Decoded", "Measures", "declared_charset", "decode", "measure", "normalise", "sniff"]
