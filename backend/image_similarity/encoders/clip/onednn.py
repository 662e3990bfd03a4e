"""The vision transformer of CLIP and SigLIP for CPUs: the arithmetic of transformers with fewer waits.

torch converts a weight matrix to oneDNN's layout in every call of a linear layer; here each is converted once. Query,
key and value are one product instead of three; cutting and projecting patches is a product too; and activations are
computed while the results of a product are in registers.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

# hidden_act -> oneDNN's name, its algorithm, and the gain g with act(x) = oneDNN(g x) / g.
_ACTIVATIONS = {
    "quick_gelu": ("swish", "", 1.702),
    "gelu": ("gelu", "none", 1.0),
    "gelu_pytorch_tanh": ("gelu", "tanh", 1.0),
}
_AGREEMENT = {torch.float32: 0.9999, torch.bfloat16: 0.999, torch.float16: 0.999}


class _Linear(NamedTuple):
    """A linear layer in oneDNN's layout."""

    weight: Tensor
    bias: Tensor | None
    activation: str = "none"
    algorithm: str = ""

    def __call__(self, x: Tensor) -> Tensor:
        # The operator that torch.compile emits on CPUs; torch does not document it.
        result: Tensor = torch.ops.mkldnn._linear_pointwise(
            x, self.weight, self.bias, self.activation, [], self.algorithm
        )
        return result


class _Norm(NamedTuple):
    weight: Tensor
    bias: Tensor
    epsilon: float

    def __call__(self, x: Tensor) -> Tensor:
        return functional.layer_norm(x, self.weight.shape, self.weight, self.bias, self.epsilon)


class _Layer(NamedTuple):
    norm1: _Norm
    query_key_value: _Linear
    output: _Linear
    norm2: _Norm
    expand: _Linear
    contract: _Linear


class OneDnnVisionTower:
    """An image tower made of a transformers model's weights; it keeps only SigLIP's head of the model itself."""

    def __init__(self, model: Any, dtype: torch.dtype) -> None:
        """Take the weights of a float32 CLIPVisionModelWithProjection or SiglipVisionModel, on the CPU.

        Raises AttributeError, KeyError or RuntimeError if the model has an unexpected structure.
        """
        self._dtype = dtype
        tower = getattr(model, "vision_model", model)
        embeddings, config = tower.embeddings, tower.config
        self._heads: int = config.num_attention_heads
        self._patch: int = embeddings.patch_size
        # Pixels come channels last, so the kernel is flattened in the order row, column, channel.
        kernel = embeddings.patch_embedding.weight.permute(0, 2, 3, 1).flatten(1)
        self._project_patches = self._linear(kernel, embeddings.patch_embedding.bias)
        positions = embeddings.position_embedding.weight
        self._class_token: Tensor | None = None
        if hasattr(embeddings, "class_embedding"):
            self._class_token = self._tensor(embeddings.class_embedding + positions[0])
            positions = positions[1:]
        self._positions = self._tensor(positions)
        self._pre_norm = self._norm(tower.pre_layrnorm) if hasattr(tower, "pre_layrnorm") else None
        self._layers = [self._layer(layer, config.hidden_act) for layer in tower.encoder.layers]
        self._post_norm = self._norm(tower.post_layernorm)
        self._head: Any = None
        if self._class_token is None:
            self._head = tower.head.to(dtype)
        else:
            self._projection = self._linear(model.visual_projection.weight, None)

    def __call__(self, pixels: Tensor) -> Tensor:
        """Encode normalised pixels, (n, side, side, 3), to (n, dimension); both of the tower's dtype."""
        hidden = self._project_patches(self._cut_patches(pixels)) + self._positions
        if self._class_token is not None:
            hidden = torch.cat([self._class_token.expand(len(hidden), 1, -1), hidden], dim=1)
        if self._pre_norm is not None:
            hidden = self._pre_norm(hidden)
        for layer in self._layers:
            hidden = hidden + layer.output(self._attend(layer.query_key_value(layer.norm1(hidden))))
            hidden = hidden + layer.contract(layer.expand(layer.norm2(hidden)))
        if self._head is None:
            return self._projection(self._post_norm(hidden[:, 0]))
        pooled: Tensor = self._head(self._post_norm(hidden))
        return pooled

    def _cut_patches(self, pixels: Tensor) -> Tensor:
        count, side, patch = len(pixels), pixels.shape[1] // self._patch, self._patch
        grid = pixels[:, : side * patch, : side * patch].reshape(count, side, patch, side, patch, 3)
        return grid.transpose(2, 3).reshape(count, side * side, patch * patch * 3)

    def _attend(self, query_key_value: Tensor) -> Tensor:
        count, tokens, _ = query_key_value.shape
        split = query_key_value.view(count, tokens, 3, self._heads, -1).permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(split[0], split[1], split[2])
        return attended.transpose(1, 2).reshape(count, tokens, -1)

    def _layer(self, layer: Any, hidden_act: str) -> _Layer:
        activation, algorithm, gain = _ACTIVATIONS[hidden_act]
        attention, mlp = layer.self_attn, layer.mlp
        three = (attention.q_proj, attention.k_proj, attention.v_proj)
        return _Layer(
            self._norm(layer.layer_norm1),
            self._linear(torch.cat([p.weight for p in three]), torch.cat([p.bias for p in three])),
            self._linear(attention.out_proj.weight, attention.out_proj.bias),
            self._norm(layer.layer_norm2),
            self._linear(mlp.fc1.weight * gain, mlp.fc1.bias * gain, activation, algorithm),
            self._linear(mlp.fc2.weight / gain, mlp.fc2.bias),
        )

    def _linear(self, weight: Tensor, bias: Tensor | None, activation: str = "none", algorithm: str = "") -> _Linear:
        packed = torch.ops.mkldnn._reorder_linear_weight(self._tensor(weight))
        return _Linear(packed, None if bias is None else self._tensor(bias), activation, algorithm)

    def _norm(self, norm: Any) -> _Norm:
        return _Norm(self._tensor(norm.weight), self._tensor(norm.bias), norm.eps)

    def _tensor(self, tensor: Tensor) -> Tensor:
        return tensor.detach().to(self._dtype, copy=True).contiguous()


def agrees(one: Tensor, other: Tensor, dtype: torch.dtype) -> bool:
    """Return whether the embeddings of two towers, both (n, dimension), are as near as `dtype` allows."""
    cosine = functional.cosine_similarity(one.float(), other.float(), dim=-1)
    return bool((cosine >= _AGREEMENT[dtype]).all())
