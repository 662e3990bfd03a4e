"""EfficientNet-Lite0 as a feature extractor, in plain torch.

The architecture is EfficientNet-B0 (Tan & Le, "EfficientNet: Rethinking Model Scaling for Convolutional
Neural Networks", ICML 2019) as its authors simplified it for phones: no squeeze-and-excitation, and ReLU6
instead of swish. Batch normalisation is folded into the convolutions when a checkpoint is read, so the
network has none: every convolution has a bias instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

FEATURES = 1280
"""Length of the pooled feature vector."""

_BATCH_NORM_EPSILON = 1e-3  # value of the training; the checkpoint does not contain it


class _Stage(NamedTuple):
    """A sequence of equal blocks; only the first one has the stride and changes the width."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    width: int


_STEM_WIDTH = 32
_STAGES = (
    _Stage(blocks=1, kernel=3, stride=1, expansion=1, width=16),
    _Stage(blocks=2, kernel=3, stride=2, expansion=6, width=24),
    _Stage(blocks=2, kernel=5, stride=2, expansion=6, width=40),
    _Stage(blocks=3, kernel=3, stride=2, expansion=6, width=80),
    _Stage(blocks=3, kernel=5, stride=1, expansion=6, width=112),
    _Stage(blocks=4, kernel=5, stride=2, expansion=6, width=192),
    _Stage(blocks=1, kernel=3, stride=1, expansion=6, width=320),
)


class _SameConv(nn.Conv2d):
    """A convolution with TensorFlow's "SAME" padding, because these weights were trained with it.

    At stride 2 on an even side, the odd pixel of padding is added on the right and below; torch's symmetric padding
    would shift every such layer by one pixel.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        symmetric = kernel // 2 if stride == 1 else 0
        super().__init__(inputs, outputs, kernel, stride, padding=symmetric, groups=groups, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        stride, kernel = self.stride[0], self.kernel_size[0]
        if stride > 1:
            rows, columns = (max(kernel - (side % stride or stride), 0) for side in x.shape[-2:])
            x = functional.pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
        return super().forward(x)


class _Block(nn.Module):
    """An inverted residual: expand (1x1), depthwise convolution, project (1x1, linear)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.expand = _SameConv(inputs, inner, 1) if expansion > 1 else None
        self.depthwise = _SameConv(inner, inner, kernel, stride, groups=inner)
        self.project = _SameConv(inner, outputs, 1)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x if self.expand is None else functional.relu6(self.expand(x), inplace=True)
        y = functional.relu6(self.depthwise(y), inplace=True)
        y = self.project(y)
        return y.add_(x) if self.residual else y


class EfficientNetLite0(nn.Module):
    """Normalised pixels, shape (n, 3, height, width), to pooled features, shape (n, 1280), float32, >= 0.

    The pixels have the dtype of the parameters, and are normalised with mean 127 / 255 and standard deviation
    128 / 255 in every channel. For inference only: activations are overwritten in place.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = _SameConv(3, _STEM_WIDTH, 3, stride=2)
        blocks: list[_Block] = []
        width = _STEM_WIDTH
        for stage in _STAGES:
            for index in range(stage.blocks):
                stride = stage.stride if index == 0 else 1
                blocks.append(_Block(width, stage.width, stage.kernel, stride, stage.expansion))
                width = stage.width
        self.blocks = nn.Sequential(*blocks)
        self.head = _SameConv(width, FEATURES, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Run the network up to the global average pool; there is no classifier."""
        x = functional.relu6(self.stem(x), inplace=True)
        x = self.blocks(x)
        x = functional.relu6(self.head(x), inplace=True)
        return x.mean(dim=(2, 3), dtype=torch.float32)


def from_checkpoint(checkpoint: Mapping[str, Tensor]) -> EfficientNetLite0:
    """Build the network, in evaluation mode and float32, from the published PyTorch checkpoint.

    `checkpoint` maps the names of the checkpoint (`_conv_stem.weight`, `_blocks.0._bn1.bias`, …) to tensors;
    its classifier (`_fc.*`) is ignored. Raises KeyError if a tensor is missing and RuntimeError if one has another
    shape.
    """
    # Build without storage: the checkpoint's tensors become the parameters, so none is initialised in vain.
    with torch.device("meta"):
        network = EfficientNetLite0()
    folded: dict[str, Tensor] = {}
    for name, (convolution, norm) in _layers(network).items():
        weight, bias = _fold(checkpoint, convolution, norm)
        folded[f"{name}.weight"] = weight
        folded[f"{name}.bias"] = bias
    network.load_state_dict(folded, assign=True)
    return network.eval().requires_grad_(False)


def _layers(network: EfficientNetLite0) -> dict[str, tuple[str, str]]:
    """Map the name of each convolution here to the checkpoint's names of it and of the batch norm after it."""
    layers = {"stem": ("_conv_stem", "_bn0"), "head": ("_conv_head", "_bn1")}
    for index in range(len(network.blocks)):
        ours, theirs = f"blocks.{index}", f"_blocks.{index}"
        if index > 0:  # the first block does not widen
            layers[f"{ours}.expand"] = (f"{theirs}._expand_conv", f"{theirs}._bn0")
        layers[f"{ours}.depthwise"] = (f"{theirs}._depthwise_conv", f"{theirs}._bn1")
        layers[f"{ours}.project"] = (f"{theirs}._project_conv", f"{theirs}._bn2")
    return layers


def _fold(checkpoint: Mapping[str, Tensor], convolution: str, norm: str) -> tuple[Tensor, Tensor]:
    """Return weight (channels_last) and bias, float32, of one convolution equal to `convolution` followed by `norm`.

    Batch norm at inference is y = (x - mean) * scale + shift per channel with constant terms, thus linear.
    """
    weight = checkpoint[f"{convolution}.weight"].double()
    variance = checkpoint[f"{norm}.running_var"].double()
    scale = checkpoint[f"{norm}.weight"].double() / torch.sqrt(variance + _BATCH_NORM_EPSILON)
    bias = checkpoint[f"{norm}.bias"].double() - checkpoint[f"{norm}.running_mean"].double() * scale
    weight = weight * scale.reshape(-1, 1, 1, 1)
    return weight.float().contiguous(memory_format=torch.channels_last), bias.float()
