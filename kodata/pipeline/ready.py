"""What the fork server of cleaning workers imports and prepares, so that no worker does it again: modules, tables, word lists,
the language model (0.4 s a worker)."""

from __future__ import annotations

import numpy as np

import kodata.pipeline.count
import kodata.pipeline.executor  # noqa: F401
from kodata.lang import by_model
from kodata.native import core
from kodata.text.many import look, normalise_all

by_model("이 글로 모델을 읽습니다.")
if core() is not None:  # without it every worker says so itself
    look(normalise_all(["표를 만듭니다."]))
    np.unique(np.arange(3))
