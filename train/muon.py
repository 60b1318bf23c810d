"""Muon: momentum whose matrices are made nearly orthogonal by five Newton-Schulz steps.

For the weight matrices of hidden layers only; embeddings, heads, biases and the router keep AdamW.
Matrices of one shape go through together, in float32 (which train.py lets PyTorch multiply in bf16 where
the processor has it): the bf16 of PyTorch's own crawls on one without.
"""

import torch

STEP = (3.4445, -4.7750, 2.0315)  # the quintic that pulls singular values towards 1


def orthogonal(g, steps=5):
    """g [n, r, c] -> the same with singular values near 1."""
    tall = g.shape[1] > g.shape[2]
    x = g.transpose(1, 2) if tall else g
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    a, b, c = STEP
    for _ in range(steps):
        xx = x @ x.transpose(1, 2)
        x = a * x + (b * xx + c * xx @ xx) @ x
    return x.transpose(1, 2) if tall else x


class Muon(torch.optim.Optimizer):
    def __init__(self, params, lr=2.5e-3, momentum=0.95, weight_decay=0.01):
        super().__init__(params, dict(lr=lr, momentum=momentum, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            by_shape = {}
            for p in group["params"]:
                if p.grad is not None:
                    by_shape.setdefault(tuple(p.shape), []).append(p)
            for shape, params in by_shape.items():
                self._step_shape(group, shape, params)

    def _step_shape(self, group, shape, params):
        grads = [p.grad for p in params]
        for p in params:
            if "momentum" not in self.state[p]:
                self.state[p]["momentum"] = torch.zeros_like(p)
        momenta = [self.state[p]["momentum"] for p in params]
        torch._foreach_lerp_(momenta, grads, 1 - group["momentum"])
        update = orthogonal(torch.stack(grads).lerp(torch.stack(momenta), group["momentum"]))
        scale = 0.2 * max(shape) ** 0.5 * group["lr"]  # an update as large as AdamW's
        torch._foreach_mul_(params, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(params, update.unbind(), alpha=-scale)
