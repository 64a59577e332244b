"""What is refused before anything is made: bad numbers, groups, templates, config.json, damaged weights."""

import json
import math
import os
import subprocess
import sys

import pytest
import torch

from kobitnet import model as sizes
from kobitnet.chat_template import chat_template, without_generation
from kobitnet.checkpoint import load_model
from kobitnet.config import LoopConfig, OptimConfig
from kobitnet.distributed import World, joined
from kobitnet.dpo import DpoConfig, dpo
from kobitnet.evaluate.verb import EvalConfig, evaluate
from kobitnet.export import export
from kobitnet.export.gguf_tokenizer import tokenizer_fields
from kobitnet.generate import GenerateConfig, generate
from kobitnet.prompting import stage_of
from kobitnet.sft import SftConfig, sft
from kobitnet.train import TrainConfig, train
from kodata.run.errors import UsageError, UserError
from kotok.chat import prompt_ids
from kotok.template import TEMPLATES
from kotok.tokenizer import build, load

from . import toy
from .bitnet_models import edit_config, make_model


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return toy.pretrained(tmp_path_factory.mktemp("run"), steps=2, batch_size=2)


@pytest.fixture(scope="module")
def shards(run):
    return run.parent / "text"


@pytest.fixture
def model(tmp_path):
    folder = make_model(tmp_path / "model", max_position_embeddings=64)
    toy.tokenizer().save(folder)
    return folder


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_numbers_are_finite(bad):
    for kind, names in (
        (LoopConfig, ("lr", "epochs", "save_seconds")),
        (OptimConfig, ("warmup", "lr2", "weight_decay", "clip", "beta1", "beta2")),
        (DpoConfig, ("beta", "label_smoothing", "lr")),
        (SftConfig, ("epochs",)),
        (TrainConfig, ("lr",)),
        (GenerateConfig, ("temperature", "top_p")),
    ):
        for name in names:
            with pytest.raises(UsageError, match="finite"):
                kind(**{name: bad})
    with pytest.raises(UsageError, match=r"--optim\.weight-decay"):
        OptimConfig(weight_decay=bad)


def test_groups_must_divide(shards, tmp_path):
    with pytest.raises(UsageError, match="multiples of --groups") as error:
        train(shards, output=tmp_path / "run", config=TrainConfig(quant="group", groups=7))
    assert error.value.help == "--groups 8"
    assert not (tmp_path / "run").exists()
    TrainConfig(quant="b1.58", groups=7)  # of no meaning there


def test_dry_run_says_that_the_loss_is_not_finite(shards, tmp_path, monkeypatch):
    from kobitnet.step import Loss

    module = sys.modules[train.__module__]  # the package's name for it is the function
    monkeypatch.setitem(sizes.PRESETS, "tiny", toy.SMALL)
    monkeypatch.setattr(
        module,
        "causal_lm",
        lambda model, batch: Loss(total=model.lm_head.weight.sum() * math.nan, count=batch.count),
    )
    with pytest.raises(UserError, match="NaN or infinite at step 1"):
        train(
            shards,
            output=tmp_path / "run",
            dry_run=True,
            config=TrainConfig(steps=2, batch_size=2, seq_len=64, threads=1),
        )


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden_size": "64"},
        {"num_hidden_layers": 2.5},
        {"num_attention_heads": -1},
        {"kobitnet": [1]},
        {"kobitnet": {"groups": "many"}},
        {"quantization_config": "bitnet"},
        {"rms_norm_eps": "small"},
        {"hidden_act": ["relu2"]},
        {"rope_parameters": 3},
    ],
)
def test_config_json_of_wrong_types(model, changes):
    edit_config(model, **changes)
    with pytest.raises(UserError, match=r"config\.json"):
        load_model(model)


def test_damaged_weights_are_named_by_export(model, tmp_path):
    file = model / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"model\.safetensors") as error:
        export(model, to="hf-online", output=tmp_path / "out")
    assert "broken file" in error.value.help and not (tmp_path / "out").exists()


def test_export_of_another_quantiser_advises_no_flag_it_lacks(model, tmp_path):
    edit_config(model, model_type="kobitnet_b1", kobitnet={"quant": "b1"})
    with pytest.raises(UserError, match=r"b1\.58 only") as error:
        export(model, to="gguf", output=tmp_path / "out")
    assert "--backend" not in error.value.help


# ---- templates ----------------------------------------------------------------------------------


def with_template(folder, name):
    made = toy.tokenizer()
    build(made.merges, "llama-bpe", {"chat_template": TEMPLATES[name].jinja}).save(folder)


def test_gguf_has_the_template(model):
    with_template(model, "chatml")
    (model / "chat_template.jinja").unlink(missing_ok=True)
    text = tokenizer_fields(model, 320)["tokenizer.chat_template"]
    assert "<|im_start|>" in text and "generation %}" not in text.replace("add_generation_prompt %}", "")
    assert stage_of(model) == "sft"  # a template makes a foreign model a chat model
    (model / "chat_template.jinja").write_text("{{ messages }}")
    assert chat_template(model) == "{{ messages }}"  # the file comes first
    (model / "chat_template.jinja").unlink()
    several = [{"name": "tool_use", "template": "a"}, {"name": "default", "template": "b"}]
    (model / "tokenizer_config.json").write_text(json.dumps({"chat_template": several}))
    assert chat_template(model) == "b"


@pytest.mark.parametrize("name", list(TEMPLATES))
def test_template_without_marks_renders_the_same(name, model):
    from jinja2 import Environment
    from transformers import AutoTokenizer

    with_template(model, name)
    messages = [
        {"role": "system", "content": "짧게 답하세요."},
        {"role": "user", "content": "수도는?"},
        {"role": "assistant", "content": "서울입니다."},
        {"role": "user", "content": "강은?"},
    ]
    made = AutoTokenizer.from_pretrained(model)
    wanted = made.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    plain = Environment(trim_blocks=True, lstrip_blocks=True).from_string(
        without_generation(TEMPLATES[name].jinja)
    )
    assert (
        plain.render(messages=messages, add_generation_prompt=True, bos_token=made.bos_token or "") == wanted
    )


def test_marks_go_with_their_white_space():
    assert without_generation("a {%- generation -%}  b\n  {% endgeneration %}\nc") == "ab\nc"
    assert (
        without_generation("{% if add_generation_prompt %}x{% endif %}").count("add_generation_prompt") == 1
    )


def test_generate_asks_in_the_template_of_the_model(model, tmp_path, monkeypatch):
    from kobitnet.engine import Engine

    with_template(model, "instruction")
    edit_config(model, kobitnet={"quant": "b1.58", "stage": "sft"})
    asked = []
    monkeypatch.setattr(Engine, "generate", lambda self, ids, *a, **k: asked.append(list(ids)) or [70])
    monkeypatch.setattr(
        Engine, "generate_batch", lambda self, prompts, *a, **k: asked.extend(map(list, prompts)) or [[70]]
    )
    generate(model, "강은?", config=GenerateConfig())
    chats = tmp_path / "chats.jsonl"
    chats.write_text(json.dumps({"messages": [{"role": "user", "content": "강은?"}]}, ensure_ascii=False))
    generate(model, prompts=chats, output=tmp_path / "out.jsonl", config=GenerateConfig())
    wanted = prompt_ids(load(model), [{"role": "user", "content": "강은?"}], "instruction")
    assert asked == [wanted, wanted]


def test_shards_of_another_template(run, tmp_path):
    for make, verb, config in (
        (toy.chat_shards, sft, SftConfig(steps=1)),
        (toy.pair_shards, dpo, DpoConfig(steps=1)),
    ):
        folder = make(tmp_path / verb.__name__)
        meta = json.loads((folder / "meta.json").read_text())
        (folder / "meta.json").write_text(json.dumps({**meta, "template": "chatml"}))
        with pytest.raises(UserError, match="shards chatml, model bitnet") as error:
            verb(folder, source=run, output=tmp_path / "out", config=config)
        assert "--template saved" in error.value.help and not (tmp_path / "out").exists()


def test_end_of_turn_is_the_tokenizers(run):
    made = load(run / "model")
    saved = json.loads((run / "model" / "generation_config.json").read_text())
    assert saved["eos_token_id"] == [made.eot_id, made.end_of_turn_id]
    assert tokenizer_fields(run / "model", 320)["tokenizer.ggml.eot_token_id"] == made.end_of_turn_id


# ---- long prompts -------------------------------------------------------------------------------


def test_long_prompts_are_found_before_the_first_answer(model, tmp_path, monkeypatch):
    from kobitnet.evaluate.backend import TorchBackend

    calls = []
    monkeypatch.setattr(TorchBackend, "generate", lambda self, ids, *a, **k: calls.append(k["seed"]) or [70])
    chats = tmp_path / "chats.jsonl"
    rows = [("a", "강은?"), ("b", "아주 긴 질문 " * 20), ("c", "산은?")]
    chats.write_text(
        "".join(
            json.dumps({"id": i, "messages": [{"role": "user", "content": q}]}, ensure_ascii=False) + "\n"
            for i, q in rows
        )
    )
    config = GenerateConfig(backend="torch")
    with pytest.raises(UserError, match=r"chats\.jsonl: .*1/3.*conversation 2, id 'b'") as error:
        generate(model, prompts=chats, output=tmp_path / "a.jsonl", config=config)
    assert "--too-long drop" in error.value.help and not calls
    drop = GenerateConfig(backend="torch", too_long="drop")
    result = generate(model, prompts=chats, output=tmp_path / "b.jsonl", config=drop)
    assert result.summary["answers"] == 2 and result.summary["dropped"] == 1
    assert calls == [0, 2]  # what is dropped changes no other answer


# ---- backends -----------------------------------------------------------------------------------


def test_backends_refuse_the_same_ids(model):
    from kobitnet.engine import Engine
    from kobitnet.evaluate.backend import TorchBackend

    for backend in (TorchBackend.load(model), Engine.load(model)):
        assert backend.positions == 64
        for ids, what in (
            ([], "no tokens"),
            ([1, 320], "out of range"),
            ([-1, 2], "out of range"),
            ([1] * 65, "65"),
        ):
            for call in (backend.logits, backend.logprobs):
                with pytest.raises(UserError, match=what):
                    call(ids)


def test_eval_of_packed_weights(run, shards, tmp_path, capsys):
    from kobitnet.checkpoint import read_config
    from kobitnet.engine.config import read_config as engine_config
    from kobitnet.export.packed import write_packed

    folder = tmp_path / "packed"
    folder.mkdir()
    write_packed(run / "model", engine_config(run / "model"), folder)
    with pytest.raises(UserError, match="packed"):
        read_config(folder)
    result = evaluate(
        folder, on=shards, config=EvalConfig(backend="engine", max_tokens=60, context=32, stride=16)
    )
    assert (
        result.summary["perplexity"] > 1 and result.summary["untrained_perplexity"] > 100
    )  # a twin without torch
    assert result.summary["compared"] == 0 and "not compared" in capsys.readouterr().err


def test_reference_of_b1_as_it_trains(tmp_path):
    from kobitnet.data import Pairs
    from kobitnet.dpo import preference, reference_logprobs
    from kobitnet.model import build_model, model_config
    from kotok.shards import open_shards

    made = toy.tokenizer()
    model = build_model(model_config(toy.SMALL, vocab_size=made.vocab_size), "b1", seed=0).eval()
    pairs = Pairs(open_shards(toy.pair_shards(tmp_path / "p")), 256, 0, pad_id=made.pad_id)
    config = DpoConfig(batch_size=len(pairs))
    import numpy as np

    pairs.reference = reference_logprobs(model, pairs, config, "test", training=True)
    assert not model.training
    model.train()
    with torch.no_grad():
        loss = preference(0.1)(model, pairs.of(np.arange(len(pairs))))
    assert float(loss.total) / loss.count == pytest.approx(math.log(2), abs=1e-6)


# ---- processes ----------------------------------------------------------------------------------


def test_import_keeps_waiting_threads_asleep():
    code = "import kobitnet, os, sys; print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"
    for given, wanted in ((None, "passive"), ("active", "active")):
        env = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
        env |= {"OMP_WAIT_POLICY": given} if given else {}
        done = subprocess.run(
            [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
        )
        assert done.stdout.split() == [wanted, "False"]


@pytest.mark.parametrize(("rank", "go"), [(0, False), (1, False), (1, True)])
def test_one_process_tells_the_trouble(rank, go, monkeypatch):
    from kobitnet import distributed

    said = []

    def broadcast(answer, src):
        said.append(answer[0])
        if rank:
            answer[0] = go

    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", str(rank))
    monkeypatch.setattr(distributed.dist, "init_process_group", lambda *a, timeout: None)
    monkeypatch.setattr(distributed.dist, "destroy_process_group", lambda: None)
    monkeypatch.setattr(distributed.dist, "get_rank", lambda: rank)
    monkeypatch.setattr(distributed.dist, "broadcast_object_list", broadcast)
    quiet = rank == 1 and not go
    with pytest.raises(SystemExit if quiet else UserError) as error, joined():
        raise UserError("없습니다")
    assert said == [False] and (not quiet or error.value.code == 0)
    with pytest.raises(UserError), joined() as world:
        assert isinstance(world, World)
        world.agree(True)
        raise UserError("나중에")
    assert len(said) == 2  # after they agreed nobody waits for a word


THREADS = """
import resource
from kobitnet import _native as native
from kobitnet.engine.reference import as_ids
from tests.kobitnet.bitnet_models import make_model
from kobitnet.engine import Engine
import sys
engine = Engine.load(sys.argv[1], threads=1)
ids = list(range(60))
before = engine.logits(ids)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20), resource.RLIM_INFINITY))
native.set_threads(256)
after = engine.logits(ids)
print((before == after).all(), 1 <= native.threads() < 256)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits memory the Linux way")
def test_too_few_threads_are_enough(model):
    pytest.importorskip("kobitnet._native")
    done = subprocess.run([sys.executable, "-c", THREADS, str(model)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["True", "True"]
    assert done.stderr.count("threads could be started") == 1


CACHE = """
import resource, sys
import numpy as np
from kobitnet.engine import Engine
from kobitnet.engine.reference import as_ids
model = Engine.load(sys.argv[1], threads=1).model
ids = as_ids(range(40))
whole = model.forward([model.cache()], [40], ids, "all")
cache = model.cache()
model.forward([cache], [30], ids[:30], "nothing")
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (700 << 20), resource.RLIM_INFINITY))
try:
    model.forward([cache], [1 << 20], np.zeros(1 << 20, np.int32), "nothing")  # keys and values of 1 GB; fails before it computes
except MemoryError:
    print((model.forward([cache], [10], ids[30:], "all") == whole[30:]).all())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits memory the Linux way")
def test_a_cache_that_cannot_grow_stays_whole(tmp_path):
    pytest.importorskip("kobitnet._native")
    folder = make_model(tmp_path / "long", max_position_embeddings=1 << 21)
    done = subprocess.run([sys.executable, "-c", CACHE, str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["True"]
