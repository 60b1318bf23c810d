"""The DeepSeek-OCR-2 family in plain PyTorch, with the published tensor names.

SAM-style ViT -> two stride-2 convolutions -> Qwen2-style encoder whose queries look causally -> linear
projector -> decoder with a mixture of experts. Every size comes from config.json, so the mini and the
large model share this code. Sharp edges: sizes given as a pair are [height, width]; a view need not be
square, and odd grids round up where a convolution halves them. A view of a line may be cut short after its
ink (config's dsocr.view_step): what is left stands where it stood, at the same positions, in SAM's grid, among
the queries and in the decoder; what is cut off is not there.
"""

import contextlib
import json
import os

import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.torch import load_file

from vocab import BOS, EOS, PAD


def pair(v):
    return (v, v) if isinstance(v, int) else tuple(v)


class Sizes:
    """What config.json says, under short names; what it leaves out is as in the published model."""

    def __init__(self, config):
        vision = config["vision_config"]
        sam = vision["width"]["sam_vit_b"]
        enc = vision["width"].get("qwen2-0-5b", {})
        lang = config["language_config"]
        self.config = config
        self.image = pair(vision["image_size"])
        self.patch = pair(sam.get("patch_size", 16))
        self.window = pair(sam.get("window_size", 14))
        self.grid = tuple(i // p for i, p in zip(self.image, self.patch))
        self.tokens = -(-self.grid[0] // 4) * -(-self.grid[1] // 4)
        self.step = self.view_step(config.get("dsocr", {}).get("view_step", 0))
        self.sam_dim, self.sam_layers, self.sam_heads = sam["width"], sam["layers"], sam["heads"]
        self.sam_global = set(sam["global_attn_indexes"])
        self.sam_mlp = int(sam["width"] * sam.get("mlp_ratio", 4))
        self.neck = sam.get("neck_channels", 256)
        self.down = list(sam.get("downsample_channels", [512, 896]))
        self.enc_dim, self.enc_layers = enc.get("dim", 896), enc.get("layers", 24)
        self.enc_heads, self.enc_kv = enc.get("heads", 14), enc.get("kv_heads", 2)
        self.enc_ffn = enc.get("intermediate_size", 4864)
        self.enc_eps, self.enc_theta = enc.get("rms_norm_eps", 1e-6), enc.get("rope_theta", 1e6)
        self.hidden, self.layers = lang["hidden_size"], lang["num_hidden_layers"]
        self.heads, self.ffn = lang["num_attention_heads"], lang["intermediate_size"]
        self.experts, self.shared = lang["n_routed_experts"], lang["n_shared_experts"]
        self.topk, self.expert_ffn = lang["num_experts_per_tok"], lang["moe_intermediate_size"]
        self.first_moe = lang["first_k_dense_replace"]
        self.norm_topk = lang.get("norm_topk_prob", False)
        self.routed_scale = lang.get("routed_scaling_factor", 1.0)
        self.eps, self.theta = lang.get("rms_norm_eps", 1e-6), lang.get("rope_theta", 1e4)
        self.vocab = lang["vocab_size"]

    def view_step(self, step):
        """A view that is cut short ends where a vision token does, and its tokens are the whole view's first. 0: it is read whole."""
        token = 4 * self.patch[1]
        if step and (type(step) is not int or step < 0 or step % token or self.grid[0] > 4):
            raise ValueError(f"dsocr.view_step is {step}: it must be a multiple of {token} px, of views that are one row of tokens")
        return step or self.image[1]


class LayerNorm2d(nn.Module):
    """Over the channels of [B, C, H, W]."""

    def __init__(self, channels, eps=1e-6):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x):
        y = F.layer_norm(x.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias, self.eps)
        return y.permute(0, 3, 1, 2)


def distances(q, table, size):
    """What q [..., i, d] says about every k of `size` places: [..., i, k] = q . table[i - k + middle]. table [2 * whole - 1, d],
    size <= whole. One product for all distances; each row of the answer is a piece of it, one place further left."""
    middle = len(table) // 2
    said = (q @ table[middle - size + 1:middle + size].flip(0).t()).contiguous()
    return said.as_strided((*said.shape[:-2], size, size), (*said.stride()[:-2], 2 * size - 2, 1), size - 1)


class SamAttention(nn.Module):
    def __init__(self, dim, heads, grid):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, dim * 3)
        self.proj = nn.Linear(dim, dim)
        self.rel_pos_h = nn.Parameter(torch.zeros(2 * grid[0] - 1, dim // heads))
        self.rel_pos_w = nn.Parameter(torch.zeros(2 * grid[1] - 1, dim // heads))

    def forward(self, x):
        """[B, H, W, C]; the bias adds what the query says about row and column distances."""
        B, H, W, C = x.shape
        n, d = self.heads, C // self.heads
        q, k, v = self.qkv(x).view(B, H * W, 3, n, d).permute(2, 0, 3, 1, 4).reshape(3, B * n, H * W, d).unbind(0)
        by_place = q.view(B * n, H, W, d)
        rows = distances(by_place.transpose(1, 2), self.rel_pos_h, H).transpose(1, 2).contiguous()
        columns = distances(by_place, self.rel_pos_w, W)
        bias = (rows[..., :, None] + columns[..., None, :]).view(B * n, H * W, H * W)
        p = torch.baddbmm(bias, q, k.transpose(1, 2), alpha=d ** -.5).softmax(-1)  # less is copied than F's own takes
        y = torch.bmm(p.to(v.dtype), v).view(B, n, H * W, d)
        return self.proj(y.transpose(1, 2).reshape(B, H, W, C))


class SamMlp(nn.Module):
    def __init__(self, dim, hidden):
        super().__init__()
        self.lin1, self.lin2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)

    def forward(self, x):
        return self.lin2(F.gelu(self.lin1(x)))


class SamBlock(nn.Module):
    def __init__(self, s, window):
        super().__init__()
        self.window = window
        self.norm1, self.norm2 = nn.LayerNorm(s.sam_dim, eps=1e-6), nn.LayerNorm(s.sam_dim, eps=1e-6)
        self.attn = SamAttention(s.sam_dim, s.sam_heads, window or s.grid)
        self.mlp = SamMlp(s.sam_dim, s.sam_mlp)

    def windowed(self, y):
        """Attention inside windows; the grid is padded with zeros up to whole windows."""
        B, H, W, C = y.shape
        a, b = self.window
        h, w = -(-H // a), -(-W // b)
        y = F.pad(y, (0, 0, 0, w * b - W, 0, h * a - H))
        y = y.view(B, h, a, w, b, C).permute(0, 1, 3, 2, 4, 5).reshape(-1, a, b, C)
        y = self.attn(y).view(B, h, w, a, b, C).permute(0, 1, 3, 2, 4, 5)
        return y.reshape(B, h * a, w * b, C)[:, :H, :W]

    def forward(self, x):
        y = self.norm1(x)
        x = x + (self.windowed(y) if self.window else self.attn(y))
        return x + self.mlp(self.norm2(x))


class PatchEmbed(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.proj = nn.Conv2d(3, s.sam_dim, s.patch, s.patch)

    def forward(self, x):
        return self.proj(x).permute(0, 2, 3, 1)


class Sam(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.patch_embed = PatchEmbed(s)
        self.pos_embed = nn.Parameter(torch.zeros(1, *s.grid, s.sam_dim))
        self.blocks = nn.ModuleList(SamBlock(s, None if i in s.sam_global else s.window) for i in range(s.sam_layers))
        self.neck = nn.Sequential(
            nn.Conv2d(s.sam_dim, s.neck, 1, bias=False), LayerNorm2d(s.neck),
            nn.Conv2d(s.neck, s.neck, 3, padding=1, bias=False), LayerNorm2d(s.neck))
        self.net_2 = nn.Conv2d(s.neck, s.down[0], 3, 2, 1, bias=False)
        self.net_3 = nn.Conv2d(s.down[0], s.down[1], 3, 2, 1, bias=False)

    def features(self, image):
        """[B, 3, H, W] -> [B, rows, columns, C], before the neck."""
        x = self.patch_embed(image)
        x = x + self.pos_embed[:, :, :x.shape[2]]
        for block in self.blocks:
            x = block(x)
        return x

    def compress(self, features):
        return self.net_3(self.net_2(self.neck(features.permute(0, 3, 1, 2))))


class RMSNorm(nn.Module):
    def __init__(self, dim, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x):
        return self.weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps)


def rope(x, theta, pos):
    """x [B, heads, T, d], halves turned against each other."""
    d = x.shape[-1]
    angle = pos[:, None].float() * theta ** (-torch.arange(0, d, 2, dtype=torch.float32, device=x.device) / d)
    angle = torch.cat([angle, angle], -1)
    a, b = x.chunk(2, -1)
    return x * angle.cos() + torch.cat([-b, a], -1) * angle.sin()


def causal(n, device):
    """-> who sees whom [n, n], positions [n]"""
    return torch.ones(n, n, device=device).tril().bool(), torch.arange(n, device=device)


class SelfAttention(nn.Module):
    def __init__(self, dim, heads, kv, theta, bias):
        super().__init__()
        self.heads, self.kv, self.d, self.theta = heads, kv, dim // heads, theta
        self.q_proj = nn.Linear(dim, heads * self.d, bias=bias)
        self.k_proj = nn.Linear(dim, kv * self.d, bias=bias)
        self.v_proj = nn.Linear(dim, kv * self.d, bias=bias)
        self.o_proj = nn.Linear(heads * self.d, dim, bias=False)

    def forward(self, x, mask, pos, cache=None):
        B, T, _ = x.shape
        split = lambda y, n: y.view(B, T, n, self.d).transpose(1, 2)
        q = rope(split(self.q_proj(x), self.heads), self.theta, pos)
        k = rope(split(self.k_proj(x), self.kv), self.theta, pos)
        v = split(self.v_proj(x), self.kv)
        if cache is not None:
            if "k" in cache:
                k, v = torch.cat([cache["k"], k], 2), torch.cat([cache["v"], v], 2)
            cache["k"], cache["v"] = k, v
        if self.kv != self.heads:
            k, v = (y.repeat_interleave(self.heads // self.kv, 1) for y in (k, v))
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.o_proj(y.transpose(1, 2).reshape(B, T, -1))


class Mlp(nn.Module):
    def __init__(self, dim, hidden):
        super().__init__()
        self.gate_proj = nn.Linear(dim, hidden, bias=False)
        self.up_proj = nn.Linear(dim, hidden, bias=False)
        self.down_proj = nn.Linear(hidden, dim, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, dim, eps, attention, mlp):
        super().__init__()
        self.self_attn, self.mlp = attention, mlp
        self.input_layernorm, self.post_attention_layernorm = RMSNorm(dim, eps), RMSNorm(dim, eps)

    def forward(self, x, mask, pos, cache=None):
        x = x + self.self_attn(self.input_layernorm(x), mask, pos, cache)
        return x + self.mlp(self.post_attention_layernorm(x))


class Stack(nn.Module):
    """Layers and the norm after them, at the depth of names that the published file has."""

    def __init__(self, layers, norm):
        super().__init__()
        self.layers, self.norm = nn.ModuleList(layers), norm


class CausalFlowEncoder(nn.Module):
    def __init__(self, s):
        super().__init__()
        attention = lambda: SelfAttention(s.enc_dim, s.enc_heads, s.enc_kv, s.enc_theta, True)
        layers = [Layer(s.enc_dim, s.enc_eps, attention(), Mlp(s.enc_dim, s.enc_ffn)) for _ in range(s.enc_layers)]
        self.model = nn.Module()
        self.model.model = Stack(layers, RMSNorm(s.enc_dim, s.enc_eps))
        self.query_name = f"query_{s.image[1]}"
        self.add_module(self.query_name, nn.Embedding(s.tokens, s.enc_dim))

    def forward(self, x):
        """SAM's tokens [B, C, h, w] -> [B, n, C]: tokens see each other, queries see tokens and earlier queries."""
        x = x.flatten(2).transpose(1, 2)
        n = x.shape[1]
        query = getattr(self, self.query_name).weight
        x = torch.cat([x, query[None, :n].expand(x.shape[0], -1, -1)], 1)
        mask, pos = causal(2 * n, x.device)
        mask[:, :n] = True
        pos[n:] += len(query) - n
        for layer in self.model.model.layers:
            x = layer(x, mask, pos)
        return self.model.model.norm(x)[:, n:]


class Experts(nn.Module):
    """Each token's topk experts: on the processor only these are computed, elsewhere all of them, since to choose
    there means to wait for the device."""

    def __init__(self, s):
        super().__init__()
        self.n, self.topk, self.norm_topk, self.scale = s.experts, s.topk, s.norm_topk, s.routed_scale
        self.gate = nn.Linear(s.hidden, s.experts, bias=False)
        self.experts = nn.ModuleList(Mlp(s.hidden, s.expert_ffn) for _ in range(s.experts))
        self.shared_experts = Mlp(s.hidden, s.expert_ffn * s.shared)
        self.balance = 0.0

    def forward(self, x):
        shape = x.shape
        x = x.reshape(-1, shape[-1])
        known = torch.amp.is_autocast_available(x.device.type)
        with torch.autocast(x.device.type, enabled=False) if known else contextlib.nullcontext():  # two experts may be near a tie
            p = self.gate(x.float()).softmax(-1)
        w, chosen = p.topk(self.topk, -1)
        if self.norm_topk:
            w = w / (w.sum(-1, keepdim=True) + 1e-20)
        if self.training:
            share = torch.zeros_like(p).scatter(1, chosen, 1.0).mean(0) / self.topk
            self.balance = self.n * (share * p.mean(0)).sum()
        mix = self.sparse if x.device.type == "cpu" else self.dense
        return mix(x, chosen, w * self.scale, self.shared_experts(x)).view(shape)

    def sparse(self, x, chosen, w, y):
        """x, y [N, hidden], chosen and w [N, topk] -> y and the chosen experts' answers"""
        for e, expert in enumerate(self.experts):
            t, k = (chosen == e).nonzero(as_tuple=True)
            if t.numel():
                y = y.index_add(0, t, (expert(x[t]) * w[t, k, None]).to(y.dtype))
        return y

    def dense(self, x, chosen, w, y):
        """The same as three products: all experts side by side, those not chosen times 0."""
        beside = lambda name, dim: torch.cat([getattr(e, name).weight for e in self.experts], dim)
        h = F.silu(F.linear(x, beside("gate_proj", 0))) * F.linear(x, beside("up_proj", 0))
        w = torch.zeros(len(x), self.n, dtype=w.dtype, device=w.device).scatter(1, chosen, w).to(h.dtype)
        return y + F.linear((h.view(len(x), self.n, -1) * w[..., None]).flatten(1), beside("down_proj", 1))


class Projector(nn.Module):
    def __init__(self, a, b):
        super().__init__()
        self.layers = nn.Linear(a, b)

    def forward(self, x):
        return self.layers(x)


class Body(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.sam_model, self.qwen2_model = Sam(s), CausalFlowEncoder(s)
        self.projector = Projector(s.enc_dim, s.hidden)
        self.view_seperator = nn.Parameter(torch.randn(s.hidden) * 0.02)
        self.embed_tokens = nn.Embedding(s.vocab, s.hidden)
        attention = lambda: SelfAttention(s.hidden, s.heads, s.heads, s.theta, False)
        mlp = lambda i: Experts(s) if i >= s.first_moe else Mlp(s.hidden, s.ffn)
        self.layers = nn.ModuleList(Layer(s.hidden, s.eps, attention(), mlp(i)) for i in range(s.layers))
        self.norm = RMSNorm(s.hidden, s.eps)


class Family(nn.Module):
    """A member of the family: image [B, 3, H, W] in -1..1 and token ids -> logits."""

    def __init__(self, config):
        super().__init__()
        self.sizes = s = Sizes(config)
        self.model = Body(s)
        self.lm_head = nn.Linear(s.hidden, s.vocab, bias=False)
        self.apply(self._init)

    @staticmethod
    def _init(m):
        if isinstance(m, nn.Conv2d):
            nn.init.kaiming_normal_(m.weight, nonlinearity="linear")
        elif isinstance(m, nn.Linear):
            nn.init.normal_(m.weight, std=(2 / (5 * m.in_features)) ** 0.5)
        elif isinstance(m, nn.Embedding):
            nn.init.normal_(m.weight, std=0.02)
        elif isinstance(m, Sam):
            nn.init.normal_(m.pos_embed, std=0.02)
        if isinstance(m, (nn.Conv2d, nn.Linear)) and m.bias is not None:
            nn.init.zeros_(m.bias)

    def see(self, image):
        """image -> SAM's columns [B, rows, columns, C], vision tokens [B, n, C], decoder rows [B, n + 1, hidden]"""
        body = self.model
        columns = body.sam_model.features(image)
        tokens = body.qwen2_model(body.sam_model.compress(columns))
        rows = body.projector(tokens)
        end = body.view_seperator[None, None].expand(len(rows), 1, -1)
        return columns, tokens, torch.cat([rows, end], 1)

    def places(self, rows, T):
        """Of begin, rows [B, n + 1, hidden] and ids, T in all -> who sees whom [T, T], positions [T]"""
        n = rows.shape[1] - 1
        mask, pos = causal(T, rows.device)
        pos[1 + n:] += self.sizes.tokens - n
        return mask, pos

    def decode(self, rows, ids):
        """rows [B, n + 1, hidden], ids [B, T] beginning with BOS -> logits [B, T, V] of what follows each id."""
        body = self.model
        e = body.embed_tokens(ids)
        x = torch.cat([e[:, :1], rows, e[:, 1:]], 1)
        mask, pos = self.places(rows, x.shape[1])
        for layer in body.layers:
            x = layer(x, mask, pos)
        return self.lm_head(body.norm(x[:, rows.shape[1]:]))

    def balance(self):
        return sum(l.mlp.balance for l in self.model.layers if isinstance(l.mlp, Experts))

    @torch.no_grad()
    def read(self, image, limit=40):
        """Greedy: a list of ids for each image, without BOS and EOS."""
        self.eval()
        body = self.model
        rows = self.see(image)[2]
        B = len(rows)
        x = torch.cat([body.embed_tokens(torch.full((B, 1), BOS, device=rows.device)), rows], 1)
        mask, pos = self.places(rows, x.shape[1])
        caches, out, live = [{} for _ in body.layers], [[] for _ in range(B)], list(range(B))
        for _ in range(limit):
            for layer, cache in zip(body.layers, caches):
                x = layer(x, mask, pos, cache)
            best = self.lm_head(body.norm(x[:, -1])).argmax(-1)
            for j, i in zip(live, best.tolist()):
                if i != EOS:
                    out[j].append(i)
            keep = best != EOS
            live = [j for j, k in zip(live, keep.tolist()) if k]
            if not live:
                break
            caches = [{n: c[keep] for n, c in cache.items()} for cache in caches]
            x, mask, pos = body.embed_tokens(best[keep])[:, None], None, pos[-1:] + 1
        return out


def config_of(folder):
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as f:
        return json.load(f)


def load(folder):
    """A model directory -> (Family, config), float32, without the draft head."""
    config = config_of(folder)
    m = Family(config)
    weights = {k: v.float() for k, v in load_file(os.path.join(folder, "model.safetensors")).items()}
    m.load_state_dict({k: v for k, v in weights.items() if not k.startswith("draft.")})
    return m.eval(), config
