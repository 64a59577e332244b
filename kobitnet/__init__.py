"""kobitnet: BitNet b1.58 training (pretrain, SFT, DPO) and a CPU ternary engine. Names load on first use."""

import os

# Before torch loads libgomp: by default its threads spin while they wait, which on a machine that is busy with anything
# else takes the processor from the very work they wait for (a training step of 1.5 s took 6 to 9 s).
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from kodata.run.lazy import expose

__all__ = expose(
    __name__,
    {
        "train": "kobitnet.train",
        "convert": "kobitnet.convert",
        "sft": "kobitnet.sft",
        "dpo": "kobitnet.dpo",
        "evaluate": "kobitnet.evaluate.verb",
        "generate": "kobitnet.generate",
        "export": "kobitnet.export",
        "serve": "kobitnet.serve.verb",
        "bench": "kobitnet.bench",
        "card": "kobitnet.card",
        "sheet": "kobitnet.evaluate.sheet",
        "info": "kobitnet.info",
        "load_model": "kobitnet.checkpoint",
        "Engine": "kobitnet.engine",
    },
)
