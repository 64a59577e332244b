"""What the fork server of workers imports and prepares, so that no worker does it again: modules, tables, word lists."""

from __future__ import annotations

import numpy as np

from kodata.native import core
from kodata.text.many import look, normalise_all

if core() is not None:  # without it every worker says so itself
    look(normalise_all(["표를 만듭니다."]))
    np.unique(np.arange(3))
