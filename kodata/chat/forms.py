"""Forms of chat and preference records found in the wild, told apart by their keys, turned into Chat and Pair."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from kodata.chat.records import CHAT_EXAMPLE, PAIR_EXAMPLE, Chat, Message, Pair, RecordError, messages_hash

_ROLE_NAMES = {
    "system": ("system", "시스템", "developer"),
    "user": ("user", "human", "사용자", "유저", "질문자", "prompter"),
    "assistant": (
        "assistant",
        "gpt",
        "chatgpt",
        "model",
        "bot",
        "ai",
        "모델",
        "어시스턴트",
        "챗봇",
        "봇",
        "답변자",
    ),
}
_TOOL_ROLES = {"tool", "function", "ipython", "observation", "function_call", "tool_call", "도구"}
_ROLE_OF = {name: role for role, names in _ROLE_NAMES.items() for name in names}
_PREFIX = re.compile(rf"^\s*({'|'.join(sorted(_ROLE_OF, key=len, reverse=True))})\s*[:：]\s*", re.IGNORECASE)
_PREFIXED_LINE = re.compile(_PREFIX.pattern, re.IGNORECASE | re.MULTILINE)

TURNS_EXAMPLE = '{"id": "예1", "turns": ["사용자: 수도는?", "모델: 서울입니다."]}'
_EMPTY = {"", "nan", "none", "null"}
_HOUSE_KEYS = {"id", "source", "meta"}


def chat_of(
    record: dict[str, Any],
    *,
    prompt_field: str = "",
    response_field: str = "",
    answers: bool = True,
    form: str = "",
) -> Chat:
    """The chat a record holds. Role order is not checked here (`records.check_chat` does).

    `prompt_field` and `response_field` name a key of the record, or are templates ("{제목}\\n{본문}"),
    and switch the detection off, as `form` does (a name that `chat_form` gave). With `answers=False` the answer's key may be
    missing.
    Raises `RecordError` with the key at fault.
    """
    if prompt_field or response_field:
        messages = [
            Message("user", _fill(record, prompt_field)),
            Message("assistant", _fill(record, response_field)),
        ]
        used = _fields(prompt_field) | _fields(response_field)
    else:
        name, used = (form, _CHAT_KEYS[form][1]) if form else chat_form(record, answers=answers)
        messages = _CHAT_FORMS[name][1](record)
    return Chat(_id(record, messages), messages, _text_or_empty(record, "source"), _meta(record, used))


def chat_form(record: dict[str, Any], *, answers: bool = True) -> tuple[str, set[str]]:
    """Name of the record's chat form and the keys it uses; `RecordError` naming the keys seen when unknown."""
    for name, (required, every, answer) in _CHAT_KEYS.items():
        if record.keys() >= required or (not answers and answer and record.keys() >= required - {answer}):
            return name, every
    raise RecordError(
        "",
        f"모르는 모양입니다. 키: {', '.join(map(str, record)) or '없음'} (unknown form, keys seen)",
        reason="unknown_form",
    )


def pair_of(record: dict[str, Any]) -> Pair:
    """The preference pair a record holds; roles are checked by `records.check_pair`.

    A prompt repeated at the head of both answers (alignment-handbook) is cut off there.
    Raises `RecordError` with the key at fault.
    """
    chosen_key, rejected_key = pair_keys(record)
    prompt_keys = {"prompt", "question", "instruction", "input", "system"} & record.keys()
    prompt = _pair_prompt(record)
    chosen = _turns(_transcript(record, chosen_key), chosen_key)
    rejected = _turns(_transcript(record, rejected_key), rejected_key)
    if len(chosen) > 1 or len(rejected) > 1:
        prompt, chosen, rejected = _split_shared_head(prompt, chosen, rejected)
    elif prompt:
        chosen, rejected = _without_prompt_text(prompt[-1].content, chosen, rejected)
    used = {chosen_key, rejected_key} | prompt_keys
    return Pair(
        _id(record, [*prompt, *chosen, *rejected]),
        prompt,
        chosen,
        rejected,
        _text_or_empty(record, "source"),
        _meta(record, used | {"messages"}),
    )


def pair_keys(record: dict[str, Any]) -> tuple[str, str]:
    """Keys of the chosen and the rejected answer; `RecordError` naming the keys seen when there are none."""
    for chosen, rejected in (("chosen", "rejected"), ("chosen_response", "rejected_response")):
        if chosen in record and rejected in record:
            return chosen, rejected
        for have, lack in ((chosen, rejected), (rejected, chosen)):
            if have in record:
                raise RecordError(lack, "키가 없습니다 (missing key)", example=PAIR_EXAMPLE)
    raise RecordError(
        "",
        f"모르는 모양입니다. 키: {', '.join(map(str, record)) or '없음'} (unknown form, keys seen)",
        reason="unknown_form",
        example=PAIR_EXAMPLE,
    )


# --- chat forms -----------------------------------------------------------------------------------


def _from_messages(record: dict[str, Any]) -> list[Message]:
    return message_list(record["messages"], "messages")


def _from_conversations(record: dict[str, Any]) -> list[Message]:
    return _system(record) + message_list(record["conversations"], "conversations")


def _from_turns(record: dict[str, Any]) -> list[Message]:
    turns = record["turns"]
    if isinstance(turns, str):
        starts = [m.start() for m in _PREFIXED_LINE.finditer(turns)]
        if not starts or turns[: starts[0]].strip():
            raise RecordError(
                "turns", "첫 줄에 말하는 이가 없습니다 (no speaker prefix)", example=TURNS_EXAMPLE
            )
        turns = [turns[a:b] for a, b in zip(starts, [*starts[1:], len(turns)], strict=True)]
    if isinstance(turns, list) and turns and isinstance(turns[0], dict):
        return _system(record) + message_list(turns, "turns")
    if not isinstance(turns, list):
        raise RecordError("turns", "목록이 아닙니다 (not a list)", example=TURNS_EXAMPLE)
    messages = []
    for i, turn in enumerate(turns):
        match = _PREFIX.match(_string(turn, f"turns[{i}]", TURNS_EXAMPLE))
        if not match:
            raise RecordError(
                f"turns[{i}]",
                "'사용자:' 또는 '모델:'로 시작해야 합니다 (must start with a speaker)",
                example=TURNS_EXAMPLE,
            )
        messages.append(Message(_ROLE_OF[match[1].lower()], turn[match.end() :].strip()))
    return _system(record) + messages


def _two(prompt_key: str, answer_key: str) -> Callable[[dict[str, Any]], list[Message]]:
    def build(record: dict[str, Any]) -> list[Message]:
        prompt = _turns(record[prompt_key], prompt_key, role="user")
        answer = _turns(record[answer_key], answer_key) if answer_key in record else []
        return _system(record) + prompt + answer

    return build


def _from_alpaca(record: Mapping[str, Any]) -> list[Message]:
    instruction = _string(record["instruction"], "instruction")
    extra = record.get("input")
    if isinstance(extra, str) and extra.strip().lower() not in _EMPTY:
        instruction = f"{instruction}\n\n{extra}"
    elif extra is not None and not isinstance(extra, (str, float)):
        raise RecordError("input", f"문자열이 아닙니다: {type(extra).__name__} (not a string)")
    answer = [Message("assistant", _string(record["output"], "output"))] if "output" in record else []
    return [*_system(record), Message("user", instruction), *answer]


def _from_dolly(record: dict[str, Any]) -> list[Message]:
    return _from_alpaca({**record, "input": record["context"], "output": record["response"]})


# Order matters: the first form whose required keys ("key?" is optional) are all there.
_CHAT_FORMS: dict[str, tuple[tuple[str, ...], Callable[[dict[str, Any]], list[Message]]]] = {
    "messages": (("messages", "prompt?"), _from_messages),
    "sharegpt": (("conversations", "system?"), _from_conversations),
    "turns": (("turns", "system?"), _from_turns),
    "completion": (("prompt", "completion", "system?"), _two("prompt", "completion")),
    "response": (("prompt", "response", "system?"), _two("prompt", "response")),
    "alpaca": (("instruction", "output", "input?", "system?"), _from_alpaca),
    "dolly": (("instruction", "context", "response", "system?"), _from_dolly),
    "instruction_response": (("instruction", "response", "system?"), _two("instruction", "response")),
    "question": (("question", "answer", "system?"), _two("question", "answer")),
    "question_response": (("question", "response", "system?"), _two("question", "response")),
}
_ONE_ANSWER = {"response": "response", "alpaca": "output", "question": "answer"}
# name -> (required keys, all keys, the key of the answer where there is one)
_CHAT_KEYS = {
    name: (
        {k for k in keys if not k.endswith("?")},
        {k.removesuffix("?") for k in keys},
        _ONE_ANSWER.get(name, ""),
    )
    for name, (keys, _) in _CHAT_FORMS.items()
}


# --- pieces ---------------------------------------------------------------------------------------


def message_list(value: Any, key: str) -> list[Message]:
    """Messages of a list of `{"role", "content"}` or `{"from", "value"}` objects (also speaker/text)."""
    if not isinstance(value, list):
        raise RecordError(key, f"목록이 아닙니다: {type(value).__name__} (not a list)")
    messages = []
    for i, item in enumerate(value):
        at = f"{key}[{i}]"
        if not isinstance(item, dict):
            raise RecordError(at, f"객체가 아닙니다: {type(item).__name__} (not an object)")
        role_key = next((k for k in ("role", "from", "speaker") if k in item), "role")
        text_key = next((k for k in ("content", "value", "text") if k in item), "content")
        if role_key not in item or text_key not in item:
            lack = role_key if role_key not in item else text_key
            raise RecordError(
                f"{at}.{lack}", f"키가 없습니다. 있는 키: {', '.join(map(str, item))} (missing key)"
            )
        name = item[role_key]
        role = _ROLE_OF.get(name.strip().lower()) if isinstance(name, str) else None
        if isinstance(name, str) and name.strip().lower() in _TOOL_ROLES:
            raise RecordError(
                f"{at}.{role_key}",
                f"도구 메시지 {name!r}는 배우지 않습니다 (tool messages are not supported)",
                reason="tool",
            )
        if role is None:
            known = "system, user, assistant"
            raise RecordError(f"{at}.{role_key}", f"모르는 역할 {name!r} (unknown role; known: {known})")
        train = item.get("train", True)
        if not isinstance(train, bool) and train is not None:
            raise RecordError(f"{at}.train", f"true/false가 아닙니다: {train!r} (not a boolean)")
        messages.append(Message(role, _content(item[text_key], f"{at}.{text_key}"), train is not False))
    return messages


def _content(value: Any, key: str) -> str:
    """A string, or the texts of OpenAI-style content parts; a picture or a tool call is refused."""
    if isinstance(value, list):
        for i, part in enumerate(value):
            if not (
                isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)
            ):
                raise RecordError(f"{key}[{i}]", "글이 아닌 조각입니다 (not a text part)")
        return "\n".join(part["text"] for part in value)
    return _string(value, key)


def _string(value: Any, key: str, example: str = CHAT_EXAMPLE) -> str:
    if not isinstance(value, str):
        raise RecordError(key, f"문자열이 아닙니다: {type(value).__name__} (not a string)", example=example)
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise RecordError(key, "짝 없는 서로게이트 문자 (lone surrogate)", example=example) from None
    return value


def _turns(value: Any, key: str, role: str = "assistant") -> list[Message]:
    """A message list as it is, or a string as one message of `role`."""
    return message_list(value, key) if isinstance(value, list) else [Message(role, _string(value, key))]


def _system(record: Mapping[str, Any]) -> list[Message]:
    text = record.get("system")
    if text is None or (isinstance(text, str) and text.strip().lower() in _EMPTY):
        return []
    return [Message("system", _string(text, "system"))]


def _transcript(record: dict[str, Any], key: str) -> Any:
    """`\\n\\nHuman: … \\n\\nAssistant: …` without a prompt beside it (HH-RLHF) as messages; anything else as it is."""
    value = record[key]
    if not isinstance(value, str) or {"prompt", "question", "instruction"} & record.keys():
        return value
    if not _PREFIX.match(value):
        return value
    return [{"role": m.role, "content": m.content} for m in _from_turns({"turns": value.strip()})]


def _pair_prompt(record: Mapping[str, Any]) -> list[Message]:
    if "prompt" in record:
        return _system(record) + _turns(record["prompt"], "prompt", role="user")
    if "question" in record:
        return _system(record) + _turns(record["question"], "question", role="user")
    if "instruction" in record:
        return _from_alpaca({k: v for k, v in record.items() if k != "output"})
    return []


def question_of(record: Mapping[str, Any], example: str) -> tuple[set[str], list[Message]]:
    """(keys used, messages up to the question) of a record whose answers stand elsewhere in it.

    Also the head that the two conversations of a comparison share, and `{"contents": …}` questions of AI Hub.
    Raises RecordError when there is no question.
    """
    used = {"prompt", "question", "instruction", "input", "system", "history"} & record.keys()
    question = record.get("question")
    if isinstance(question, Mapping) and isinstance(question.get("contents"), str):
        record = {**record, "question": question["contents"]}
    elif isinstance(record.get("history"), str) and not {"prompt", "question", "instruction"} & record.keys():
        record = {**record, "prompt": record["history"]}
    elif isinstance(record.get("conversation_a"), list) and "prompt" not in record:
        return used, message_list(record["conversation_a"], "conversation_a")[:-1]
    messages = _pair_prompt(record)
    if not messages:
        raise RecordError("prompt", "키가 없습니다 (missing key)", example=example)
    return used, messages


def _split_shared_head(
    prompt: list[Message], chosen: list[Message], rejected: list[Message]
) -> tuple[list[Message], list[Message], list[Message]]:
    """Message lists: what both answers begin with is the conversation, if it agrees with the prompt given.

    The shared head wins over a prompt that is only its end (a lone question, or one without the system message).
    """
    most = min(len(chosen), len(rejected)) - 1
    shared = next((i for i in range(most) if chosen[i] != rejected[i]), max(most, 0))
    head = chosen[:shared]
    tail = [(m.role, m.content) for m in head if m.role != "system"]
    asked = [(m.role, m.content) for m in prompt if m.role != "system"]
    if not head or tail[len(tail) - len(asked) :] != asked:
        return prompt, chosen, rejected
    if any(m.role == "system" for m in prompt) and not any(m.role == "system" for m in head):
        head = [*(m for m in prompt if m.role == "system"), *head]
    return head, chosen[shared:], rejected[shared:]


def _without_prompt_text(
    question: str, chosen: list[Message], rejected: list[Message]
) -> tuple[list[Message], list[Message]]:
    """Strings: the question is cut only where both answers begin with it, so a quotation in one is kept."""
    both = [*chosen, *rejected]
    if question.strip() and all(
        m.content.startswith(question) and len(m.content) > len(question) for m in both
    ):
        cut = [[Message(m.role, m.content[len(question) :].lstrip(), m.train)] for m in both]
        return cut[0], cut[1]
    return chosen, rejected


def _fields(template: str) -> set[str]:
    """Keys a field template reads: `{name}` parts, or the whole string as one key."""
    return set(re.findall(r"\{([^{}]+)\}", template)) or ({template} if template else set())


def _fill(record: dict[str, Any], template: str) -> str:
    values = {}
    for key in sorted(_fields(template)):
        if key not in record:
            seen = ", ".join(map(str, record))
            raise RecordError(
                key, f"키가 없습니다. 있는 키: {seen} (missing key)", example=f'{{"{key}": "…"}}'
            )
        value = record[key]
        values[key] = (
            "" if value is None else _string(str(value) if isinstance(value, (int, float)) else value, key)
        )
    if not values:
        raise RecordError("", "--prompt-field와 --response-field를 함께 주세요 (give both fields)")
    if set(values) == {template}:
        return values[template]
    return re.sub(r"\{([^{}]+)\}", lambda m: values[m[1]], template.replace("\\n", "\n"))


def _id(record: dict[str, Any], messages: list[Message]) -> str:
    value = record.get("id")
    if value is None or value == "" or isinstance(value, (dict, list, bool)):
        return messages_hash(messages)
    return _string(str(value), "id")


def _text_or_empty(record: dict[str, Any], key: str) -> str:
    value = record.get(key)
    return _string(value, key) if isinstance(value, str) else ""


def _meta(record: dict[str, Any], used: set[str]) -> dict[str, Any]:
    """The record's own meta plus every key the form did not use."""
    meta = record.get("meta")
    kept = dict(meta) if isinstance(meta, dict) else {}
    for key, value in record.items():
        if key not in used and key not in _HOUSE_KEYS:
            kept[str(key)] = value
    return kept
