"""The papers' own numbers from the formula, weights counted, RAPL counters from a made folder."""

import pytest

from kobitnet.evaluate import efficiency, energy
from kobitnet.evaluate.energy import Shape, forward, weight_bytes

from .random_toy import random_run

# 2310.11453 table 1: J of MUL and ADD of one pass over 512 tokens
TABLE = {
    "6.7B": (4096, 32, {"7nm": [(4.41, 1.28), (1.14, 0.54), (0.02, 0.04)], "45nm": [(12.46, 3.03), (3.70, 1.35), (0.08, 0.13)]}),
    "13B": (5120, 40, {"7nm": [(8.58, 2.49), (2.23, 1.05), (0.04, 0.06)], "45nm": [(24.23, 5.89), (7.20, 2.62), (0.12, 0.24)]}),
    "30B": (7168, 48, {"7nm": [(20.09, 5.83), (5.21, 2.45), (0.06, 0.14)], "45nm": [(56.73, 13.80), (16.87, 6.13), (0.20, 0.53)]}),
}  # fmt: skip
OFF_BY_ONE = {
    ("6.7B", "7nm"),
    ("30B", "7nm"),
}  # additions of BitNet: 0.0341 and 0.1349, printed 0.04 and 0.14


@pytest.mark.parametrize("size", TABLE)
def test_table_1_of_bitnet(size):
    hidden, layers, rows = TABLE[size]
    shape = Shape(
        hidden=hidden, intermediate=4 * hidden, layers=layers, kv_width=hidden, vocab=16_000, gated=False
    )
    for process, expected in rows.items():
        for number, (mul, add) in zip(("fp32", "fp16", "ternary"), expected, strict=True):
            adds, muls = forward(shape, number, process)
            assert round(muls, 2) == mul
            if number == "ternary" and (size, process) in OFF_BY_ONE:
                assert adds == pytest.approx(add, abs=0.01)
            else:
                assert round(adds, 2) == add


@pytest.mark.parametrize(
    ("hidden", "intermediate", "layers", "kv_width", "number", "joules"),
    [
        (2560, 6912, 30, 640, "ternary", 0.028),  # b1.58 2B
        (2048, 8192, 16, 512, "fp16", 0.258),  # LLaMA 3.2 1B
        (1536, 8960, 28, 256, "fp16", 0.347),  # Qwen2.5 1.5B
        (2048, 8192, 24, 2048, "fp16", 0.425),  # SmolLM2 1.7B
        (2304, 5760, 40, 2304, "fp16", 0.649),  # MiniCPM 2B
    ],
)
def test_energies_of_the_2b4t_report(hidden, intermediate, layers, kv_width, number, joules):
    shape = Shape(hidden=hidden, intermediate=intermediate, layers=layers, kv_width=kv_width, vocab=1)
    assert round(sum(forward(shape, number, "7nm")), 3) == joules


def test_the_papers_ratio_and_memory():
    add16, mul16 = energy.PJ["7nm"]["fp16"]
    assert (add16 + mul16) / energy.PJ["7nm"]["int8"][0] == pytest.approx(71.4, abs=0.05)  # 2402.17764
    shape = Shape(hidden=2560, intermediate=6912, layers=30, kv_width=640, vocab=128_256)
    assert round(weight_bytes(shape, "ternary")[0] / 1e9, 1) == 0.4  # 2504.12285, non-embedding GB
    assert shape.non_embedding + shape.embedding + 30 * (3 * 2560 + 6912) + 2560 == 2_412_820_480


def test_one_product_by_hand():
    assert energy.product(2, 3, 5, "fp32", "45nm") == pytest.approx(
        (2 * 2 * 5 * 0.9e-12, 2 * 3 * 5 * 3.7e-12)
    )
    assert energy.ternary_product(2, 3, 5, "7nm") == pytest.approx(
        (2 * 2 * 5 * 0.007e-12, (2 * 5 + 2 * 3) * 0.34e-12)
    )


def test_package_counters(tmp_path):
    assert energy.PackageEnergy(tmp_path).joules() is None
    for i, value in enumerate((5_000_000, 9_000_000)):
        zone = tmp_path / f"intel-rapl:{i}"
        zone.mkdir()
        (zone / "energy_uj").write_text(f"{value}\n")
        (zone / "max_energy_range_uj").write_text("10000000\n")
        (tmp_path / f"intel-rapl:{i}:0").mkdir()  # a part of the package: not counted again
    (tmp_path / "intel-rapl:2").mkdir()  # the whole platform, which contains them
    (tmp_path / "intel-rapl:2" / "name").write_text("psys\n")
    (tmp_path / "intel-rapl:2" / "energy_uj").write_text("1\n")
    meter = energy.PackageEnergy(tmp_path)
    assert meter.joules() is None
    meter.start()
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("7000000\n")
    (tmp_path / "intel-rapl:1" / "energy_uj").write_text("1000000\n")  # ran over
    assert meter.joules() == pytest.approx(2.0 + 2.0)
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("?")
    assert meter.joules() is None


def test_a_model_beside_full_precision(tmp_path):
    from kobitnet.engine import Engine

    run = random_run(tmp_path / "run")
    found = efficiency.computed(efficiency.model_config(run))
    assert found["fp16"]["non_embedding_bytes"] == 8 * found["bitnet"]["non_embedding_bytes"]
    assert found["fp16"]["joules_7nm"] > found["bitnet"]["joules_7nm"] > 0
    measured = efficiency.measure(Engine.load(run))
    assert measured["decode_ms"] > 0 and measured["prompt_tokens"] == 128
    found["measured"] = {"BitNet": measured}
    titles = [block["title"] for block in efficiency.blocks_of(found)]
    assert len(titles) == 2 and "measured on this machine" in titles[1]


@pytest.mark.slow
def test_full_precision_is_timed_in_its_own_process(tmp_path):
    assert efficiency.full_precision(random_run(tmp_path / "run"))["decode_ms"] > 0
