"""Native ternary kernels against the int32 reference: equal for every input, shape, thread count and instruction set."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kobitnet.engine import ggml, reference

native = pytest.importorskip("kobitnet._native", reason="native module not built")
ISAS = native.isas()
# rows and columns off every tile (16, 32), K step (64) and block (512) of the layout
SHAPES = [(1, 1), (16, 16), (31, 17), (33, 63), (640, 256), (97, 67), (40, 513), (7, 2049)]
TOKENS = [1, 2, 3, 4, 5, 11, 12, 13, 25]


@pytest.fixture(autouse=True)
def restore():
    yield
    native.choose_isa(ISAS[0])
    native.set_threads(1)


def int32_matmul(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    return x.astype(np.int32) @ w.astype(np.int32).T


def inputs(
    kind: str, rows: int, cols: int, tokens: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    w = rng.integers(-1, 2, (rows, cols)).astype(np.int8)
    x = rng.integers(-128, 128, (tokens, cols)).astype(np.int8)
    if kind == "top":  # what overflows int16 sums
        w[:], x[:] = 1, 127
    if kind == "bottom":
        w[:], x[:] = 1, -128
    if kind == "opposed":
        w[:], x[:] = -1, -128
    return w, x


def test_the_plain_path_is_always_there() -> None:
    assert ISAS[-1] == "plain"
    with pytest.raises(ValueError, match="unknown"):
        native.choose_isa("mmx")


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("kind", ["random", "top", "bottom", "opposed"])
def test_products_are_exact(isa: str, kind: str) -> None:
    native.choose_isa(isa)
    rng = np.random.default_rng(0)
    for rows, cols in SHAPES:
        for tokens in TOKENS:
            w, x = inputs(kind, rows, cols, tokens, rng)
            packed = native.Ternary.from_values(w)
            assert (packed.matmul(x) == int32_matmul(x, w)).all(), (rows, cols, tokens)


@pytest.mark.parametrize("isa", ISAS)
def test_sums_do_not_overflow_at_real_widths(isa: str) -> None:
    native.choose_isa(isa)
    for cols in (6912, 16384, 1 << 18):
        w, x = inputs("top", 3, cols, 1, np.random.default_rng(0))
        packed = native.Ternary.from_values(w)
        assert (packed.matmul(x) == 127 * cols).all()
        assert (packed.matmul(np.full((2, cols), -128, np.int8)) == -128 * cols).all()


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_do_not_change_the_result(threads: int) -> None:
    native.set_threads(threads)
    w, x = inputs("random", 1000, 300, 40, np.random.default_rng(1))
    packed = native.Ternary.from_values(w)
    for tokens in (1, 40):
        assert (packed.matmul(x[:tokens]) == int32_matmul(x[:tokens], w)).all()


@given(
    st.integers(1, 70),
    st.integers(1, 150),
    st.integers(1, 30),
    st.sampled_from(ISAS),
    st.integers(0, 2**32 - 1),
)
def test_products_are_exact_for_any_shape(rows: int, cols: int, tokens: int, isa: str, seed: int) -> None:
    native.choose_isa(isa)
    w, x = inputs("random", rows, cols, tokens, np.random.default_rng(seed))
    packed = native.Ternary.from_values(w)
    assert (packed.values() == w).all()
    assert (packed.matmul(x) == int32_matmul(x, w)).all()
    assert (reference.int_matmul(x, w) == int32_matmul(x, w)).all()


def test_packings_agree() -> None:
    rng = np.random.default_rng(2)
    w = rng.integers(-1, 2, (48, 37)).astype(np.int8)
    packed = reference.pack_hf(w)
    assert packed.shape == (12, 37)
    assert (reference.unpack_hf(packed) == w).all()
    assert (native.Ternary.from_hf(packed).values() == w).all()
    latents = rng.standard_normal((48, 37)).astype(np.float32)
    latents[0, :4] = [0.5, -0.5, 1.5, 0.50000006]  # ties round to even: 0, 0, 1 (clamped from 2), 1
    assert (
        native.Ternary.from_f32(latents, 1.0).values() == reference.ternary_codes(latents, np.float32(1))
    ).all()
    assert native.Ternary.from_f32(latents, 1.0).values()[0, :4].tolist() == [0, 0, 1, 1]
    bits = (latents.view(np.uint32) >> 16).astype(np.uint16)
    assert (
        native.Ternary.from_bf16(bits, 1.0).values()
        == reference.ternary_codes((bits.astype(np.uint32) << 16).view(np.float32), np.float32(1))
    ).all()


def test_bad_matrices_are_refused() -> None:
    with pytest.raises(ValueError, match="not -1, 0 or 1"):
        native.Ternary.from_values(np.full((2, 2), 2, np.int8))
    with pytest.raises(ValueError, match="code 3"):
        native.Ternary.from_hf(np.full((1, 4), 0b11, np.uint8))
    with pytest.raises(ValueError, match="out of range"):
        native.Ternary.from_values(np.zeros((0, 4), np.int8))
    with pytest.raises(ValueError, match="columns"):
        native.Ternary.from_values(np.zeros((4, 4), np.int8)).matmul(np.zeros((1, 5), np.int8))


@pytest.mark.parametrize("isa", ISAS)
def test_activation_quantisation_is_that_of_training(isa: str) -> None:
    torch = pytest.importorskip("torch")
    native.choose_isa(isa)
    rng = np.random.default_rng(3)
    x = rng.standard_normal((60, 203)).astype(np.float32) * np.logspace(-8, 4, 60, dtype=np.float32)[:, None]
    x[0] = 0.0
    x[1] = np.arange(-101, 102) / np.float32(2) * 2.5  # many exact halves after scaling
    x[1, 0] = 127 * 2.5
    codes, scale = native.quantize(x)
    t = torch.from_numpy(x)
    s = 127 / t.abs().max(dim=-1, keepdim=True).values.clamp_(min=1e-5)  # transformers' ActQuant
    expected = (t * s).round().clamp(-128, 127).to(torch.int8).numpy()
    assert (codes == expected).all()
    assert (scale == s.numpy()[:, 0]).all()
    mine, my_scale = reference.quantize(x)
    assert (mine == expected).all() and (my_scale == scale).all()


def test_quantising_not_a_number_is_defined() -> None:
    x = np.array([[np.nan, 1.0, -np.inf], [np.inf, 0.0, 2.0]], np.float32)
    for isa in ISAS:
        native.choose_isa(isa)
        native.quantize(x)  # no crash; the values mean nothing


@pytest.mark.parametrize("shape", [(512, 1376), (2560, 640), (768, 2048), (37, 41), (1, 1)])
def test_latent_codes_are_those_of_torch(shape: tuple[int, int]) -> None:
    """The mean of |w| has the bits of torch on one thread (on more threads torch adds in another order)."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    latents = np.random.default_rng(4).standard_normal(shape).astype(np.float32) * np.float32(0.02)
    t = torch.from_numpy(latents)
    torch_scale = 1.0 / t.abs().mean().clamp_(min=1e-5)
    torch.set_num_threads(before)
    expected = (t * torch_scale).round().clamp(-1, 1).to(torch.int8).numpy()
    total = np.float32(native.sum_abs_f32(latents))
    assert reference.torch_sum(np.abs(latents).reshape(1, -1))[0] == total
    scale, value = reference.weight_scale(total / np.float32(latents.size))
    assert scale == np.float32(torch_scale) and value == np.float32(1.0 / torch_scale)
    assert (native.Ternary.from_f32(latents, float(scale)).values() == expected).all()
    bits = (latents.view(np.uint32) >> 16).astype(np.uint16)
    widened = (bits.astype(np.uint32) << 16).view(np.float32)
    assert native.sum_abs_bf16(bits) == native.sum_abs_f32(widened)


@pytest.mark.parametrize("width", [64, 100, 203, 256, 384, 2560, 6912])
def test_norms_add_in_the_order_of_torch(width: int) -> None:
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(5).standard_normal((40, width)).astype(np.float32)
    expected = torch.from_numpy(x).pow(2).mean(-1).numpy()
    assert (reference.torch_sum(x * x) / np.float32(width) == expected).all()
    t = torch.from_numpy(x)
    weight = torch.linspace(0.5, 1.5, width)
    normed = (weight * (t * torch.rsqrt(t.pow(2).mean(-1, keepdim=True) + 1e-5))).numpy()
    for isa in ISAS:
        native.choose_isa(isa)
        assert (native.rms_norm(x, weight.numpy(), 1e-5) == normed).all(), isa


def test_ggml_layouts() -> None:
    """Packed by numpy, read by the native code: every code at its place; what nobody writes is refused."""
    rng = np.random.default_rng(6)
    w = rng.integers(-1, 2, (7, 512)).astype(np.int8)
    for kind, pack in ggml.PACK.items():
        raw = np.frombuffer(pack(w, np.float32(0.25)), np.uint8)
        assert len(raw) == ggml.nbytes(w.shape, kind)
        assert (ggml.UNPACK[kind](raw, w.shape) == w).all()
        assert (native.Ternary.from_ggml(raw, 7, 512, kind).values() == w).all()
        assert ggml.scale_of(raw, kind) == 0.25
        noise = rng.integers(0, 256, len(raw)).astype(np.uint8)
        if kind == ggml.TQ1_0:  # any byte is five digits
            assert (
                native.Ternary.from_ggml(noise, 7, 512, kind).values() == ggml.UNPACK[kind](noise, w.shape)
            ).all()
        else:
            with pytest.raises(ValueError, match="code 3"):
                native.Ternary.from_ggml(noise, 7, 512, kind)
        for rows, cols in ((7, 511), (8, 512), (-1, 512), (7, 1 << 40)):
            with pytest.raises(ValueError, match="bytes"):
                native.Ternary.from_ggml(raw, rows, cols, kind)
    with pytest.raises(ValueError, match="unknown"):
        native.Ternary.from_ggml(raw, 7, 512, 37)


def test_a_forked_child_can_compute() -> None:
    import multiprocessing

    native.set_threads(2)
    w, x = inputs("random", 500, 200, 20, np.random.default_rng(5))
    packed = native.Ternary.from_values(w)
    packed.matmul(x)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply_async(_product, (w, x)).get(timeout=60) == int(int32_matmul(x, w).sum())


def _product(w: np.ndarray, x: np.ndarray) -> int:
    return int(native.Ternary.from_values(w).matmul(x).sum())


@pytest.mark.slow
def test_neon_kernels(tmp_path: Path) -> None:
    """Compiled for arm64 and run under user emulation: needs g++-aarch64-linux-gnu and qemu-user."""
    compiler, emulator = shutil.which("aarch64-linux-gnu-g++"), shutil.which("qemu-aarch64")
    if compiler is None or emulator is None:
        pytest.skip("no arm64 cross compiler or no qemu-user")
    here = Path(__file__).resolve().parent
    csrc = here.parents[1] / "kobitnet" / "csrc"
    common = [compiler, "-std=gnu++17", f"-I{csrc}", "-Wall", "-Wextra", "-Werror", "-c"]
    kernels = ["-O3", "-fno-math-errno", "-ffp-contract=fast"]
    for source, flags in [
        (csrc / "kernels_neon.cpp", [*kernels, "-march=armv8.2-a+dotprod"]),
        (csrc / "kernels_plain.cpp", kernels),
        (csrc / "sums.cpp", ["-O3", "-ffp-contract=off"]),
        (here / "neon_check.cpp", ["-O1"]),
    ]:
        subprocess.run([*common, *flags, str(source), "-o", str(tmp_path / f"{source.stem}.o")], check=True)
    subprocess.run(
        [compiler, "-static", *map(str, sorted(tmp_path.glob("*.o"))), "-o", str(tmp_path / "check")],
        check=True,
    )
    done = subprocess.run([emulator, "-cpu", "max", str(tmp_path / "check")], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "wrong 0", done.stdout
