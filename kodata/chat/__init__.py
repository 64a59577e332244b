"""Chat and preference records: TRL's conversational JSONL, its readers and the verbs that build it.

from kodata.chat import Message, Chat, Pair, read_chats, read_pairs, write_chats, write_pairs
"""

from kodata.chat.read import read_chats, read_pairs
from kodata.chat.records import (
    Chat,
    Message,
    Pair,
    RecordError,
    write_chats,
    write_pairs,
)

__all__ = [
    "Chat",
    "Message",
    "Pair",
    "RecordError",
    "read_chats",
    "read_pairs",
    "write_chats",
    "write_pairs",
]
