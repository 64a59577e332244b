"""kobitnet: BitNet b1.58 training (pretrain, SFT, DPO) and a CPU ternary engine. Names load on first use."""

from kodata.run.lazy import expose

__all__ = expose(
    __name__,
    {
        "train": "kobitnet.train",
        "sft": "kobitnet.sft",
        "dpo": "kobitnet.dpo",
        "evaluate": "kobitnet.evaluate.verb",
        "generate": "kobitnet.generate",
        "export": "kobitnet.export",
        "bench": "kobitnet.bench",
        "info": "kobitnet.info",
        "load_model": "kobitnet.checkpoint",
        "Engine": "kobitnet.engine",
    },
)
