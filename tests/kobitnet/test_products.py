"""fp32 products by oneDNN: only where MKL is the slower one, and never less than fp32."""

import pytest
import torch

from kobitnet import products

AMD = "vendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC\nflags\t\t: fpu avx2 avx512f avx512_bf16\n"


@pytest.fixture(autouse=True)
def as_before():
    matmul = torch.backends.mkldnn.matmul
    before = matmul.fp32_precision
    yield
    matmul.fp32_precision = before


def cpuinfo(tmp_path, text):
    file = tmp_path / "cpuinfo"
    file.write_text(text)
    return file


def test_the_processor_is_read(tmp_path):
    vendor, flags = products.processor(cpuinfo(tmp_path, AMD + "\nvendor_id\t: Other\nflags\t\t: none\n"))
    assert vendor == "AuthenticAMD" and "avx512f" in flags and "none" not in flags
    assert products.processor(tmp_path / "nothing") == ("", frozenset())


@pytest.mark.parametrize(
    "text",
    [
        "",
        AMD.replace("AuthenticAMD", "GenuineIntel"),
        AMD.replace("avx512f ", ""),
        AMD.replace("avx512f", "avx512f amx_bf16"),
    ],
)
def test_other_processors_are_left_alone(tmp_path, text):
    before = torch.backends.mkldnn.matmul.fp32_precision
    assert not products.multiply_by_onednn(cpuinfo(tmp_path, text))
    assert torch.backends.mkldnn.matmul.fp32_precision == before


def test_lower_precision_is_noticed_and_undone(tmp_path, monkeypatch):
    assert products.exact()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not products.exact()
    before = torch.backends.mkldnn.matmul.fp32_precision
    monkeypatch.setattr(products, "exact", lambda: False)
    assert not products.multiply_by_onednn(cpuinfo(tmp_path, AMD))
    assert torch.backends.mkldnn.matmul.fp32_precision == before


def test_products_stay_fp32(tmp_path):
    """Whatever this machine is: after the call products are as near the float64 ones as before."""
    a, b = (torch.randn(300, 200, generator=torch.Generator().manual_seed(i)) for i in range(2))
    products.multiply_by_onednn()
    exact = a.double() @ b.double().T
    assert float((a @ b.T - exact).abs().max() / exact.abs().max()) < 3e-6
