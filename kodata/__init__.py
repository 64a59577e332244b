"""kodata: from raw Korean sources to clean documents, chat and preference data. Names load on first use."""

from kodata.run.lazy import expose

__all__ = expose(
    __name__,
    {
        "clean": "kodata.pipeline",
        "dedup": "kodata.dedup",
        "score": "kodata.score.verb",
        "train_lm": "kodata.score.train",
        "train_quality": "kodata.score.train",
        "sft": "kodata.chat.sft",
        "dpo": "kodata.chat.dpo",
        "synth": "kodata.synth.verb",
        "mix": "kodata.mix.verb",
        "inspect": "kodata.inspect",
        "report": "kodata.report.verb",
        "Corpus": "kodata.doc",
        "Document": "kodata.doc",
        "UserError": "kodata.run.errors",
    },
)
