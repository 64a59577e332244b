"""AI Hub and NIKL 모두의 말뭉치 as they are delivered: which texts become documents, which material for chats and pairs.

A `Layout` (one per form of delivery, in `written`, `questions`, `talks`, `asked`,
`translations`, `nikl`) says by which keys an item is recognised and
what it gives: `Text` for the corpus, `TaskItem` for chats and pairs. Nothing is recognised by a file's name, nothing
unknown is guessed. Fields of a TaskItem by kind (Turn = {"speaker", "text", "role"}, role "" where nobody says who is who):

    summary      text, summary, style, title; turns: [Turn] for dialogues
    qa           question, answer, context ("" for none), impossible, answers: [str], title
    instruction  prompt, answer, system
    dialogue     turns: [Turn], topic, situation, persona: {speaker: [str]}
    ranking      prompt: [Turn], answers: [str] best first, ranks: [int], task: chat | title | qa
    rating       prompt: [Turn], answer, marks: {name: bool}
    prompt       prompt
    translation  source, target, source_language, target_language, draft (before correction by people, or "")
    correction   text, corrected
    paraphrase   texts: [str]
    label        text, label, name
    question, answer    text, key: [str]: halves that `join_halves` puts together
"""

from __future__ import annotations

from kodata.sources.aihub.item import KINDS, TaskItem, Text, UnknownLayout
from kodata.sources.aihub.reader import MATERIAL, read_json, read_table
from kodata.sources.aihub.registry import LAYOUTS
from kodata.sources.aihub.tasks import join_halves, layout_of, tasks_of

__all__ = [
    "KINDS", "LAYOUTS", "MATERIAL", "TaskItem", "Text", "UnknownLayout", "join_halves", "layout_of", "read_json",
    "read_table", "tasks_of",
]  # fmt: skip
