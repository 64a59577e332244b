"""python -m kobitnet.export.check SOURCE EXPORT: is the export the same model? Prints one JSON object.

Both folders are opened by stock transformers. Every linear layer of the export gets the very input the source's layer
got and must give its output within 1e-5 of the largest; every other parameter must be equal bit for bit. Whole logits are
compared too, but rounding decides there: where an activation lies on the edge between two int8 codes, a last-bit
difference moves it to the next code, which torch does to itself when its number of threads changes. So logits must
agree within 1e-5, or else in the large (argmax on 90 % of positions).
"""

import json
import sys
from pathlib import Path

import torch

TOKENS = 48
LIMIT = 1e-5


def compare(source: Path, export: Path) -> dict[str, object]:
    from transformers import AutoModelForCausalLM
    from transformers.integrations.bitnet import AutoBitLinear

    torch.manual_seed(0)
    torch.set_num_threads(1)
    ours = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32).eval()
    theirs = AutoModelForCausalLM.from_pretrained(export, dtype=torch.float32).eval()
    problems: list[str] = []
    layers = {n: m for n, m in theirs.named_modules() if isinstance(m, AutoBitLinear)}
    expected = {n for n, m in ours.named_modules() if isinstance(m, AutoBitLinear)}
    if not expected or layers.keys() != expected:
        problems.append(f"ternary layers differ: {len(layers)} of {len(expected)}")
    theirs_state = theirs.state_dict()
    for name, value in ours.state_dict().items():
        if name.removesuffix(".weight") not in expected and not torch.equal(value, theirs_state[name]):
            problems.append(f"parameter differs: {name}")

    inputs: dict[str, torch.Tensor] = {}
    outputs: dict[str, torch.Tensor] = {}

    def keep(name: str):  # type: ignore[no-untyped-def]
        def hook(module, args, output):  # type: ignore[no-untyped-def]
            inputs[name], outputs[name] = args[0], output

        return hook

    for name in expected:
        ours.get_submodule(name).register_forward_hook(keep(name))
    ids = torch.randint(0, ours.config.vocab_size, (2, min(TOKENS, ours.config.max_position_embeddings)))
    worst = 0.0
    with torch.no_grad():
        logits = ours(ids).logits
        for name in expected & layers.keys():
            relative = float(
                (layers[name](inputs[name]) - outputs[name]).abs().max()
                / outputs[name].abs().max().clamp(min=1e-30)
            )
            worst = max(worst, relative)
            if not relative <= LIMIT:
                problems.append(f"layer differs by {relative:.1e}: {name}")
        other = theirs(ids).logits
    difference = float((logits - other).abs().max())
    same = float((logits.argmax(-1) == other.argmax(-1)).float().mean())
    if not (difference <= LIMIT * max(1.0, float(logits.abs().max())) or same >= 0.9):
        problems.append(f"logits differ by {difference:.1e}, argmax agreement {same:.2f}")
    return {
        "problems": problems,
        "layers": len(expected),
        "worst_layer": worst,
        "logits": difference,
        "argmax_same": same,
    }


if __name__ == "__main__":
    print(json.dumps(compare(Path(sys.argv[1]), Path(sys.argv[2]))))
