#!/usr/bin/env python3
"""A second toy, held against an implementation by others: transformers' models/deepseek_ocr2, on the CPU in float32.

    build/mktoy DIR $(test/reference/transformers_toy.py --settings)
    test/reference/transformers_toy.py DIR > test/golden/toy2.json

Needs from PyPI: torch, transformers, safetensors, pillow. The weights are loaded by names translated here, not by
transformers' own conversion; the query tables, whose sizes transformers fixes, are put in place by hand. Pages are
cut by Pillow, as spec 3 says.
"""
import json
import re
import sys

SETTINGS = ("base=512 tile=384 width=40 heads=2 blocks=4 global=2 window=10 sam_mlp=100 neck=24 net2=36 dim=96 layers=3 "
            "qheads=6 kvheads=3 inner=136 hidden=72 dlayers=4 dheads=6 dense=100 experts=12 moe=24 top=3 shared=1 "
            "vocab=400")
S = dict(word.split("=") for word in SETTINGS.split())
S = {key: int(value) for key, value in S.items()}
PAGE = (900, 640)
TILE = 3  # whose values are printed
IMAGE = 300
PROMPT_TAIL = [201, 17, 270, 16]

if sys.argv[1:] == ["--settings"]:
    print(SETTINGS)
    sys.exit()

import numpy as np
import torch
import transformers
from PIL import Image
from safetensors import safe_open
from transformers.models.deepseek_ocr2 import configuration_deepseek_ocr2 as conf
from transformers.models.deepseek_ocr2.modeling_deepseek_ocr2 import DeepseekOcr2ForConditionalGeneration

RENAMES = [
    (r"^model\.sam_model\.blocks\.(\d+)\.norm([12])\.", r"model.vision_tower.sam_encoder.layers.\1.layer_norm\2."),
    (r"^model\.sam_model\.blocks\.", "model.vision_tower.sam_encoder.layers."),
    (r"^model\.sam_model\.patch_embed\.proj\.", "model.vision_tower.sam_encoder.patch_embed.projection."),
    (r"^model\.sam_model\.pos_embed", "model.vision_tower.sam_encoder.pos_embed"),
    (r"^model\.sam_model\.neck\.0\.", "model.vision_tower.sam_encoder.neck.conv1."),
    (r"^model\.sam_model\.neck\.1\.", "model.vision_tower.sam_encoder.neck.layer_norm1."),
    (r"^model\.sam_model\.neck\.2\.", "model.vision_tower.sam_encoder.neck.conv2."),
    (r"^model\.sam_model\.neck\.3\.", "model.vision_tower.sam_encoder.neck.layer_norm2."),
    (r"^model\.sam_model\.net_2\.", "model.vision_tower.sam_encoder.proj.conv1."),
    (r"^model\.sam_model\.net_3\.", "model.vision_tower.sam_encoder.proj.conv2."),
    (r"^model\.qwen2_model\.model\.model\.", "model.vision_tower.vision_encoder."),
    (r"^model\.projector\.layers\.", "model.multi_modal_projector."),
    (r"^model\.view_seperator", "model.view_separator"),
    (r"^model\.(embed_tokens|layers|norm)\.", r"model.language_model.\1."),
]


def build():
    rope = lambda theta: {"rope_type": "default", "rope_theta": theta}
    sam = conf.DeepseekOcr2SamVisionConfig(
        hidden_size=S["width"], output_channels=S["neck"], num_hidden_layers=S["blocks"], num_attention_heads=S["heads"],
        image_size=S["base"], patch_size=16, window_size=S["window"], global_attn_indexes=[S["global"]],
        mlp_dim=S["sam_mlp"], downsample_channels=[S["net2"], S["dim"]])
    encoder = conf.DeepseekOcr2VisionEncoderConfig(
        vocab_size=8, hidden_size=S["dim"], intermediate_size=S["inner"], num_hidden_layers=S["layers"],
        num_attention_heads=S["qheads"], num_key_value_heads=S["kvheads"], rope_parameters=rope(1e6))
    text = conf.DeepseekOcr2TextConfig(
        vocab_size=S["vocab"], hidden_size=S["hidden"], intermediate_size=S["dense"], num_hidden_layers=S["dlayers"],
        num_attention_heads=S["dheads"], n_routed_experts=S["experts"], n_shared_experts=S["shared"],
        num_experts_per_tok=S["top"], moe_intermediate_size=S["moe"], rope_parameters=rope(1e4),
        mlp_layer_types=["dense"] + ["sparse"] * (S["dlayers"] - 1), max_position_embeddings=1024)
    config = conf.DeepseekOcr2Config(
        vision_config=conf.DeepseekOcr2VisionConfig(sam_config=sam, encoder_config=encoder), text_config=text,
        image_token_id=IMAGE, attn_implementation="eager")
    return DeepseekOcr2ForConditionalGeneration(config).float().eval()


def load(model, directory):
    """Returns the query tables by number of rows."""
    state, tables, experts = {}, {}, {}
    with safe_open(directory + "/model.safetensors", "pt") as file:
        for name in file.keys():
            value = file.get_tensor(name).float()
            if "qwen2_model.query_" in name:
                tables[len(value)] = value
                continue
            for pattern, to in RENAMES:
                name, n = re.subn(pattern, to, name)
                if n:
                    break
            match = re.match(r"(.*\.mlp\.experts)\.(\d+)\.(gate|up|down)_proj", name)
            if match:
                experts[match[1], int(match[2]), match[3]] = value
            else:
                state[name] = value
    for prefix in {key[0] for key in experts}:
        one = lambda part: torch.stack([experts[prefix, e, part] for e in range(S["experts"])])
        state[prefix + ".gate_up_proj"] = torch.cat([one("gate"), one("up")], dim=1)
        state[prefix + ".down_proj"] = one("down")
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected, unexpected
    assert all("query_" in name for name in missing), missing
    return tables


def choose_tables(tower, tables):
    """transformers picks one of two tables of fixed sizes; here the one that the view's number of rows asks for."""
    forward = tower.forward

    def with_table(pixel_values, **kwargs):
        rows = (pixel_values.shape[-1] // 64) ** 2
        tower.query_768_resolution.weight = torch.nn.Parameter(tables[rows])
        return forward(pixel_values, **kwargs)

    tower.forward = with_table


def page():
    w, h = PAGE
    y, x, c = np.meshgrid(np.arange(h), np.arange(w), np.arange(3), indexing="ij")
    return Image.fromarray(((7 * x + 13 * y + 50 * c + 3 * ((x * y) % 31)) & 255).astype(np.uint8))


def pixels(image):
    values = ((torch.arange(256).float() / 255 - 0.5) / 0.5).bfloat16().float()
    return values[torch.from_numpy(np.array(image)).long()].permute(2, 0, 1)


def views(image):
    """The whole page and its crops; 900 x 640 of 384: 3 columns, 2 rows (spec 3.2)."""
    size, tile = S["base"], S["tile"]
    height = round(image.height / image.width * size)
    whole = Image.new("RGB", (size, size), (127, 127, 127))
    whole.paste(image.resize((size, height), Image.BICUBIC), (0, round((size - height) * 0.5)))
    wide = image.resize((3 * tile, 2 * tile), Image.BICUBIC)
    tiles = [wide.crop((c * tile, r * tile, (c + 1) * tile, (r + 1) * tile)) for r in range(2) for c in range(3)]
    return pixels(whole)[None], torch.stack([pixels(t) for t in tiles])


def stage(value):
    flat = value.detach().double().flatten()
    return {"shape": list(value.shape), "first": [round(float(v), 6) for v in flat[:4]],
            "last": [round(float(v), 6) for v in flat[-2:]], "sum": round(float(flat.sum()), 4),
            "sumsq": round(float((flat * flat).sum()), 4)}


@torch.no_grad()
def main(directory):
    model = build()
    tower = model.model.vision_tower
    choose_tables(tower, load(model, directory))
    whole, tiles = views(page())
    features = model.model.get_image_features(whole, tiles, [len(tiles)], return_dict=True)
    rows = features.pooler_output[0]
    ids = [0] + [IMAGE] * len(rows) + PROMPT_TAIL
    out = {
        "about": "made by: build/mktoy DIR $(test/reference/transformers_toy.py --settings); "
                 "test/reference/transformers_toy.py DIR > test/golden/toy2.json",
        "versions": {"transformers": transformers.__version__, "torch": torch.__version__.split("+")[0]},
        "settings": SETTINGS, "page": list(PAGE), "tile": TILE,
        "global_sam": stage(tower.sam_encoder(whole).last_hidden_state[0]),
        "global_encoder": stage(features.last_hidden_state[0]),
        "tile_sam": stage(tower.sam_encoder(tiles[TILE:TILE + 1]).last_hidden_state[0]),
        "tile_encoder": stage(features.local_last_hidden_state[TILE]),
        "image_rows": stage(rows),
    }
    tokens, gaps = [], []
    for _ in range(8):
        logits = model(input_ids=torch.tensor([ids]), pixel_values=whole, pixel_values_local=tiles,
                       num_local_patches=[len(tiles)]).logits[0, -1]
        out.setdefault("logits", stage(logits))
        best = torch.topk(logits, 2)
        tokens.append(int(best.indices[0]))
        gaps.append(float(best.values[0] - best.values[1]))
        ids.append(tokens[-1])
    out["tokens"], out["min_gap"] = tokens, round(min(gaps), 4)
    print(json.dumps(out, indent=1))


main(sys.argv[1])
