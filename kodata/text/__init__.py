"""Korean text: decoding, normalisation, measures. The Python here is the reference; the native core follows it."""

from __future__ import annotations

from kodata.text.encoding import Decoded, declared_charset, decode, sniff
from kodata.text.measure import Measures, measure
from kodata.text.normalise import normalise

__all__ = ["Decoded", "Measures", "declared_charset", "decode", "measure", "normalise", "sniff"]
