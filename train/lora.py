"""Trains a LoRA adapter for any member of the family on your own lines.

    python lora.py LINES OUT [--model ../model/mini] [--rank 8] [--epochs 10]

LINES as for finetune.py, whose rules for lines that cannot be used are these too. OUT: a directory in PEFT's
layout (adapter_config.json, adapter_model.safetensors), which `dsocr read --adapter OUT` and the setting
dsocr.adapter take. The base's weights stay as they are; beside every linear of the encoders and the decoder (the
router and lm_head stay out) two thin matrices are learnt, and only they are written. The adapter says which model
it is for: its name, and the SHA-256 of its weights.
"""

import json
import os
import re
import sys

import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.torch import save_file

import export
import finetune

LEFT_OUT = re.compile(r"lm_head$|mlp\.gate$")


class LoraLinear(nn.Linear):
    """A linear that was one before: its weight is frozen, A [r, in] and B [out, r] are added to it."""

    def forward(self, x):
        return super().forward(x) + self.scale * F.linear(F.linear(x, self.lora_A), self.lora_B)


def attach(family, rank, alpha, targets):
    """-> the names of the linears that now have A and B; everything else is frozen."""
    names = []
    family.requires_grad_(False)
    for name, m in family.named_modules():
        if type(m) is nn.Linear and not LEFT_OUT.search(name) and (not targets or name.rsplit(".", 1)[-1] in targets):
            m.__class__, m.scale = LoraLinear, alpha / rank
            m.lora_A = nn.Parameter(torch.randn(rank, m.in_features) / m.in_features ** .5)
            m.lora_B = nn.Parameter(torch.zeros(m.out_features, rank))
            names.append(name)
    return names


def write(state, names, a, config):
    """PEFT's layout, each file replaced by a rename, weights last."""
    adapter = {
        "peft_type": "LORA", "task_type": None, "base_model_name_or_path": config.get("dsocr", {}).get("name", "deepseek-ocr-2"),
        "r": a.rank, "lora_alpha": a.alpha, "lora_dropout": 0.0, "bias": "none", "use_rslora": False, "use_dora": False,
        "fan_in_fan_out": False, "inference_mode": True, "target_modules": sorted({n.rsplit(".", 1)[-1] for n in names}),
        "dsocr": {"base_sha256": export.fingerprint(a.model)}}
    tensors = {f"base_model.model.{n}.lora_{x}.weight": state[f"{n}.lora_{x}"].contiguous() for n in names for x in "AB"}
    path = os.path.join(a.out, "adapter_config.json")
    with open(path + ".tmp", "w", encoding="utf-8") as f:
        json.dump(adapter, f, indent=1)
    os.replace(path + ".tmp", path)
    path = os.path.join(a.out, "adapter_model.safetensors")
    save_file(tensors, path + ".tmp", metadata={"format": "pt"})
    os.chmod(path + ".tmp", 0o644)
    os.replace(path + ".tmp", path)
    return sum(t.numel() for t in tensors.values())


def arguments():
    p = finetune.parser(__doc__)
    p.set_defaults(lr=2e-3, epochs=10)
    p.add_argument("--rank", type=int, default=8)
    p.add_argument("--alpha", type=float, help="default: twice the rank")
    p.add_argument("--targets", nargs="+", help="only linears whose names end so: q_proj v_proj")
    a = p.parse_args()
    a.alpha = a.alpha or 2 * a.rank
    return a


def main():
    a = arguments()
    torch.manual_seed(1)
    family, config, vocab = finetune.opened(a)
    held, rows, drawn = finetune.prepared(a, family, vocab, config)
    names = attach(family, a.rank, a.alpha, a.targets)
    if not names:
        sys.exit("no linear of the model has a name that --targets ends with")
    before = finetune.score(family, vocab, held)
    t = finetune.Tuning(a, family, vocab, rows, drawn)
    finetune.tune(t, a, held, before)
    count = write(t.kept, names, a, config)
    os.remove(os.path.join(a.out, "finetune.pt"))
    print(f"{a.out}: {count} parameters beside {len(names)} linears, from {len(rows)} views")
    print(f"held-out lines ({len(held)}): {100 * before:.2f} % of the characters wrong before, {100 * t.best:.2f} % after")
    if t.best >= before:
        print("no better: OUT holds an adapter that changes nothing")


if __name__ == "__main__":
    main()
