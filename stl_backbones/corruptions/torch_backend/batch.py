"""The public call: a batch in, the same batch corrupted out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from stl_backbones.corruptions.catalog import check_corruption, check_severity
from stl_backbones.corruptions.images import check_sides
from stl_backbones.corruptions.parameters import check_cifar_size, strength
from stl_backbones.corruptions.torch_backend import blur, digital, jpeg, noise, spatter, weather
from stl_backbones.corruptions.torch_backend.draws import Draws
from stl_backbones.errors import InputError

_Corruption = Callable[[Tensor, Any, Draws], Tensor]

# Name -> function, and the labels of its draws.
_CORRUPTIONS: dict[str, tuple[_Corruption, tuple[str, ...]]] = {
    "gaussian_noise": (noise.gaussian_noise, ("normal",)),
    "shot_noise": (noise.shot_noise, ("photons",)),
    "impulse_noise": (noise.impulse_noise, ("uniform",)),
    "speckle_noise": (noise.speckle_noise, ("normal",)),
    "defocus_blur": (blur.defocus_blur, ()),
    "motion_blur": (blur.motion_blur, ("angle",)),
    "zoom_blur": (blur.zoom_blur, ()),
    "gaussian_blur": (blur.gaussian_blur, ()),
    "snow": (weather.snow, ("normal", "angle")),
    "frost": (weather.frost, ("picture", "top", "left")),
    "fog": (weather.fog, ("uniform",)),
    "brightness": (weather.brightness, ()),
    "spatter": (spatter.spatter, ("normal",)),
    "contrast": (digital.contrast, ()),
    "elastic_transform": (digital.elastic_transform, ("uniform",)),
    "pixelate": (digital.pixelate, ()),
    "jpeg_compression": (jpeg.jpeg_compression, ()),
    "saturate": (digital.saturate, ()),
}
_SERIAL = {
    "glass_blur": "moves pixels one after the other",
    "elastic_transform": "of CIFAR-10-C begins with an affine map",
}

PARALLEL = tuple(_CORRUPTIONS)


def is_parallel(name: str, strengths: str) -> bool:
    """Whether a corruption has a form for batches; elastic_transform of CIFAR-10-C has none."""
    return name in PARALLEL and (name, strengths) != ("elastic_transform", "cifar10")


@torch.no_grad()
def corrupt_batch(
    images: Tensor,
    name: str,
    severity: float,
    *,
    seeds: Sequence[int],
    draws: Mapping[str, Tensor] | None = None,
    strengths: str = "imagenet",
) -> Tensor:
    """Corrupt a batch on the device it is on.

    The numbers are those of mode ``'fast'`` in kind: float32 and streams of its own. A corruption
    without draws is within one grey level of imagecorruptions, pixelate and jpeg_compression equal
    it. The others are equal to it in distribution, and within one grey level given the same draws;
    of snow's and spatter's values 3 in 100,000 lie next to a threshold and may differ by more. An
    image's result depends on its own seed alone, and the draws are the same bits on every device.

    Args:
        images: ``(N, 3, H, W)`` uint8 RGB, values 0..255, H and W at least 32; not changed.
        name: One of `PARALLEL`.
        severity: 1 (weakest) to 5, whole or a fraction.
        seeds: One per image, 0 to 2**32 - 1, from `draw_seed`.
        draws: Label -> tensor to use instead of a draw; a corruption's docstring has its labels
            and shapes.
        strengths: The constants, ``'imagenet'`` or ``'cifar10'``.

    Returns:
        ``(N, 3, H, W)`` uint8 RGB on the same device.

    Raises:
        KeyError: If the corruption is unknown.
        ValueError: If it has no parallel form, or an argument is not as above.
    """
    check_corruption(name)
    _check_parallel(name, strengths)
    severity = check_severity(severity)
    _check_images(images)
    if strengths == "cifar10":
        check_cifar_size(*images.shape[-2:])
    _check_seeds(seeds, len(images))
    corruption, labels = _CORRUPTIONS[name]
    _check_labels(name, labels, draws)
    if len(images) == 0:
        return images.clone()
    values = corruption(
        images.contiguous(), strength(name, severity, strengths), Draws(seeds, images.device, draws)
    )
    return values.clamp_(0, 255).to(torch.uint8)


def corrupt_image(
    image: npt.NDArray[np.uint8],
    name: str,
    severity: float,
    *,
    seed: int,
    device: str | torch.device | None = None,
    strengths: str = "imagenet",
) -> npt.NDArray[np.uint8]:
    """Corrupt one image by way of a device.

    Args:
        image: ``(H, W, 3)`` uint8 RGB, H and W at least 32; not changed.
        name: One of `PARALLEL`.
        severity: 1 (weakest) to 5, whole or a fraction.
        seed: 0 to 2**32 - 1, from `draw_seed`.
        device: ``None`` means the thread's current GPU where there is one, else ``'cpu'``.
        strengths: The constants, ``'imagenet'`` or ``'cifar10'``.

    Returns:
        ``(H, W, 3)`` uint8 RGB.

    Raises:
        KeyError: If the corruption is unknown.
        ValueError: If it has no parallel form, or an argument is not as above.
    """
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if image.dtype != np.uint8 or image.ndim != 3:
        raise InputError(f"image must be (H, W, 3) uint8, got {image.shape} {image.dtype}")
    pixels = torch.tensor(np.ascontiguousarray(image.transpose(2, 0, 1)), device=device)
    corrupted = corrupt_batch(pixels[None], name, severity, seeds=[seed], strengths=strengths)[0]
    return corrupted.permute(1, 2, 0).contiguous().cpu().numpy()


def _check_parallel(name: str, strengths: str) -> None:
    if not is_parallel(name, strengths):
        raise InputError(
            f"{name} {_SERIAL[name]} and has no parallel form; use mode='fast' or 'exact'"
        )


def _check_images(images: Tensor) -> None:
    if images.dtype != torch.uint8:
        raise InputError(f"images must be uint8, got {images.dtype}")
    if images.ndim != 4 or images.shape[1] != 3:
        raise InputError(f"images must be (N, 3, H, W) RGB, got shape {tuple(images.shape)}")
    check_sides(*images.shape[-2:])


def _check_seeds(seeds: Sequence[int], count: int) -> None:
    if len(seeds) != count:
        raise InputError(f"expected one seed per image, got {len(seeds)} for {count} images")
    for seed in seeds:
        if not 0 <= seed < 2**32:
            raise InputError(f"a seed must be in 0..2**32 - 1, got {seed}")


def _check_labels(name: str, labels: tuple[str, ...], draws: Mapping[str, Tensor] | None) -> None:
    unknown = sorted(set(draws or ()) - set(labels))
    if unknown:
        raise InputError(
            f"{name} draws {', '.join(labels) or 'nothing'}, got draws for {', '.join(unknown)}"
        )
