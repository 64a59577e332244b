"""A base model learns the chat template of the shards it is tuned on; a tuned model keeps its own."""

import json

import pytest

from kobitnet.dpo import DpoConfig, dpo
from kobitnet.sft import SftConfig, sft
from kodata.run.errors import UserError
from kotok.chat import render, template_name, template_of
from kotok.encode import EncodeConfig, encode
from kotok.shards import open_shards
from kotok.template import TEMPLATES
from kotok.tokenizer import load

from . import toy

OWN = (
    "{% for m in messages %}{% if m.role == 'assistant' %}답:{% generation %}{{ ' ' + m.content + '<|eot_id|>' }}{% endgeneration %}"
    "{% else %}{{ '물음: ' + m.content + '<|eot_id|>' }}{% endif %}{% endfor %}{% if add_generation_prompt %}답:{% endif %}"
)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return toy.pretrained(tmp_path_factory.mktemp("base"), steps=1, batch_size=1, seq_len=32)


def write(path, rows):
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("template", [pytest.param("chatml", marks=pytest.mark.slow), "own.jinja"])
def test_a_base_model_learns_the_template_of_the_shards(base, tmp_path, template):
    (tmp_path / "own.jinja").write_text(OWN, encoding="utf-8")
    name = str(tmp_path / template) if template.endswith("jinja") else template
    chats = write(
        tmp_path / "chat.jsonl",
        [{"id": str(i), "prompt": q, "response": a} for i, (q, a, _) in enumerate(toy.QUESTIONS)],
    )
    encode([chats], tok=base / "model", output=tmp_path / "c", config=EncodeConfig(val=0, template=name))
    config = SftConfig(steps=1, batch_size=2, seq_len=192, threads=1, eval_every=0)
    sft(tmp_path / "c", source=base, output=tmp_path / "sft", config=config)
    tuned = load(tmp_path / "sft" / "model")
    assert template_name(template_of(tuned)) == open_shards(tmp_path / "c").meta["template"] != "bitnet"
    assert tuned.config["chat_template"] == (OWN if template != "chatml" else TEMPLATES["chatml"].jinja)
    ask = [{"role": "user", "content": "강은?"}, {"role": "assistant", "content": "네"}]
    assert render(tuned, ask, template_of(tuned))[1].count(1) > 1

    pairs = write(
        tmp_path / "pairs.jsonl", [{"prompt": q, "chosen": a, "rejected": r} for q, a, r in toy.QUESTIONS]
    )
    encode([pairs], tok=base / "model", output=tmp_path / "other", config=EncodeConfig(val=0))
    align = DpoConfig(steps=1, batch_size=2, seq_len=192, threads=1, eval_every=0)
    with pytest.raises(UserError, match="chat templates differ") as error:
        dpo(tmp_path / "other", source=tmp_path / "sft", output=tmp_path / "dpo", config=align)
    assert "--template saved" in error.value.help and not (tmp_path / "dpo").exists()
    encode([pairs], tok=tmp_path / "sft" / "model", output=tmp_path / "same", config=EncodeConfig(val=0))
    dpo(tmp_path / "same", source=tmp_path / "sft", output=tmp_path / "dpo", config=align)
    assert template_name(template_of(load(tmp_path / "dpo" / "model"))) == template_name(template_of(tuned))
