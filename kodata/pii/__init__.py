"""Personal data in Korean text: found by shape, checked by rule, replaced by typed tags or by consistent stand-ins.

Shape alone is not enough (버전 1.2.3.4 is no address, 12조 3456억 no number plate), and a failed check digit does not
clear a resident number any more: since October 2020 new numbers have none. So each kind has its own evidence: boundaries,
dates, check digits, and words around it. The audit knows kinds and places, never values. What replaces a value is taken by
no detector, so a second pass changes nothing.
"""

from kodata.pii.checks import business_check, card_check, corporate_check, luhn, rrn_check, valid_date
from kodata.pii.find import find
from kodata.pii.found import TAGS, Found
from kodata.pii.mask import Masked, PiiConfig, mask
from kodata.pii.shapes import shapes

__all__ = [
    "TAGS", "Found", "Masked", "PiiConfig", "business_check", "card_check", "corporate_check", "find", "luhn", "mask",
    "rrn_check", "shapes", "valid_date",
]  # fmt: skip
