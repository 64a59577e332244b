"""Sign weights, learned scales and groups on the engine, against the torch model that training uses."""

from pathlib import Path

import numpy as np
import pytest
import torch

from kobitnet.checkpoint import load_model
from kobitnet.engine import Engine, cpu, latents
from kobitnet.engine.reference import NumpyModel
from kobitnet.export.verb import export
from kodata.run.errors import UserError

from .bitnet_models import edit_config
from .random_toy import random_run

VARIANTS = {"b1": 1, "b1-alpha": 1, "group": 4, "group-of-two": 2}
IDS = np.random.default_rng(2).integers(0, 256, 60).tolist()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = {}
    for name, groups in VARIANTS.items():
        quant = name.partition("-of")[0]
        made[name] = random_run(tmp_path_factory.mktemp(name), quant=quant, groups=groups)
    return made


@pytest.fixture(autouse=True)
def one_torch_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def torch_logits(path: Path, ids: list[int]) -> np.ndarray:
    with torch.no_grad():
        return load_model(path)[0](input_ids=torch.tensor([ids])).logits[0].numpy()


def differences(path: Path, engine: Engine) -> np.ndarray:
    return np.concatenate(
        [
            np.abs(engine.logits(IDS[i : i + 6]) - torch_logits(path, IDS[i : i + 6])).max(axis=1)
            for i in range(0, 60, 6)
        ]
    )


@pytest.mark.parametrize("variant", VARIANTS)
def test_logits_are_those_of_torch(runs: dict[str, Path], variant: str) -> None:
    """As for b1.58 (test_engine.py): fp32 noise, but for the few positions where an int8 code flips."""
    found = differences(runs[variant], Engine.load(runs[variant], threads=2))
    scale = np.abs(torch_logits(runs[variant], IDS[:6])).max()
    assert np.median(found) < 3e-6 * scale
    assert (found > 3e-5 * scale).mean() < 0.15


@pytest.mark.parametrize("variant", VARIANTS)
def test_cutting_does_not_change_a_bit(runs: dict[str, Path], variant: str) -> None:
    engine = Engine.load(runs[variant], threads=3)
    whole = engine.logits(IDS)
    cache = engine.model.cache()
    one_by_one = [engine.model.forward([cache], [1], np.array([i], np.int32), "last")[0] for i in IDS]
    assert (np.stack(one_by_one) == whole).all()


@pytest.mark.parametrize("variant", VARIANTS)
def test_numpy_twin_agrees(runs: dict[str, Path], variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    native = Engine.load(runs[variant])
    monkeypatch.setenv("KOBITNET_ISA", "python")
    cpu.native.cache_clear()
    slow = Engine.load(runs[variant])
    monkeypatch.delenv("KOBITNET_ISA")
    cpu.native.cache_clear()
    assert isinstance(slow.model, NumpyModel)
    a, b = slow.logits(IDS[:20]), native.logits(IDS[:20])
    assert np.median(np.abs(a - b).max(axis=1)) < 3e-6 * np.abs(a).max()


@pytest.mark.parametrize("shape", [(64, 128), (33, 64), (16, 1000)])
def test_codes_are_those_of_torch(shape: tuple[int, int]) -> None:
    from kobitnet.model import BitLinear

    rng = np.random.default_rng(3)
    values = (rng.standard_normal(shape) * 0.02 + 0.001).astype(np.float32)
    values[0, :3] = 0.0
    native = cpu.native()

    def torch_weight(quant: str, **settings: int) -> np.ndarray:
        layer = BitLinear(shape[1], shape[0], quant, **settings)
        layer.weight.data.copy_(torch.from_numpy(values))
        return layer.quantised().numpy()

    def ours(part: latents.Part) -> np.ndarray:
        weights, scale = part
        codes = weights if isinstance(weights, np.ndarray) else weights.values()
        return codes.astype(np.float32) * scale.reshape(-1, 1)

    for module in {None, native}:
        assert (ours(latents.centred_sign_part(values, "w", module)) == torch_weight("b1")).all()
        alpha = np.array([0.37], np.float32)
        signs = ours(latents.sign_part(values, alpha, "w", module))
        assert (signs == np.where(values > 0, alpha, -alpha)).all()
        columns = latents.group_parts(values, "w", module, groups=4, by_columns=True)
        assert len(columns) == 4
        expected = torch_weight("group", groups=4, group_dim=1)
        assert (np.concatenate([ours(p) for p in columns], axis=1) == expected).all()
        if shape[0] % 4 == 0:
            [rows] = latents.group_parts(values, "w", module, groups=4, by_columns=False)
            assert (ours(rows) == torch_weight("group", groups=4, group_dim=0)).all()
    for bad in (np.nan, np.inf):
        values[1, 1] = bad
        for make in (
            lambda: latents.centred_sign_part(values, "w", native),
            lambda: latents.sign_part(values, alpha, "w", native),
            lambda: latents.group_parts(values, "w", native, groups=4, by_columns=True),
        ):
            with pytest.raises(UserError, match="NaN"):
                make()


def test_wrong_configurations_are_refused(runs: dict[str, Path], tmp_path: Path) -> None:
    import shutil

    for number, change in enumerate(
        (
            {"model_type": "kobitnet_mlm"},
            {"model_type": "kobitnet_none", "kobitnet": {"quant": "none"}},
            {"model_type": ["bitnet"]},
            {"kobitnet": {"quant": "group", "groups": 3}},
            {"kobitnet": {"quant": "group", "groups": True}},
            {"kobitnet": {"quant": "group"}},
            {"kobitnet": {"quant": "b1"}},
            {"kobitnet": "group"},
        )
    ):
        folder = shutil.copytree(runs["group"], tmp_path / str(number))
        edit_config(folder / "model", **change)
        with pytest.raises(UserError, match=r"config\.json"):
            Engine.load(folder)
    with pytest.raises(UserError, match=r"b1\.58 only"):
        export(runs["group"], to="hf-packed", output=tmp_path / "out")


def test_untrained_twins_of_every_quantiser(runs: dict[str, Path]) -> None:
    from kobitnet.engine.config import read_config
    from kobitnet.engine.fresh import random_engine

    for path in runs.values():
        engine = random_engine(read_config(path / "model"))
        assert np.isfinite(engine.logits(IDS[:5])).all()


def test_generate_takes_the_engine(runs: dict[str, Path]) -> None:
    from kobitnet.prompting import GenerateConfig, backend_name

    assert {backend_name(path, GenerateConfig()) for path in runs.values()} == {"engine"}
