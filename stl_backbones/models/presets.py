"""The models of the paper's Table 2, each with the weights that come nearest to its clean score.

The paper does not name its files. Where timm holds several trainings of a network, the one whose
published accuracy is nearest to the table's was taken; the LV-ViTs are in no timm release.

References:
    Zhao et al. 2023 (STL), Table 2. timm's results-imagenet.csv for the weights' accuracies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from stl_backbones.errors import unknown_name
from stl_backbones.models.variants import get_variant


@dataclass(frozen=True)
class Preset:
    """A row of the paper's Table 2.

    Attributes:
        name: The name used on the command line.
        title: The row's name in the table.
        timm_name: timm's model with the tag of its weights; without a tag, timm holds no weights
            and a file must be given.
        paper_top1: The row's clean top-1 accuracy, percent.
    """

    name: str
    title: str
    timm_name: str
    paper_top1: float


def _fans() -> list[Preset]:
    # Table 2: FAN with class labels alone, and trained with STL.
    scores = {"t": (80.1, 79.9), "s": (83.5, 83.4), "b": (83.9, 84.5), "l": (84.3, 84.7)}
    found = []
    for letter, arch in (
        ("t", "tiny_hybrid"), ("s", "small_hybrid"), ("b", "base_hybrid"), ("l", "large_hybrid")
    ):  # fmt: skip
        variant, (plain, stl) = get_variant(arch), scores[letter]
        found += [
            Preset(f"fan-{letter}", variant.title, variant.name, plain),
            Preset(f"stl-fan-{letter}", f"STL ({variant.title})", f"{variant.name}_token", stl),
        ]
    return found


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        preset.name: preset
        for preset in (
            Preset("resnet18", "ResNet18", "resnet18.tv_in1k", 69.9),
            Preset("mobilenet-v2", "MBV2", "mobilenetv2_100.ra_in1k", 73.0),
            Preset("efficientnet-b0", "EffiNet-B0", "efficientnet_b0.ra_in1k", 77.5),
            Preset("pvt-v2-b0", "PVTv2-B0", "pvt_v2_b0.in1k", 70.5),
            Preset("pvt-v2-b1", "PVTv2-B1", "pvt_v2_b1.in1k", 78.7),
            Preset("resnet50", "ResNet50", "resnet50.ram_in1k", 79.0),
            Preset("deit-s", "DeiT-S", "deit_small_patch16_224.fb_in1k", 79.9),
            Preset("deit-b", "DeiT-B", "deit_base_patch16_224.fb_in1k", 81.8),
            Preset("swin-t", "Swin-T", "swin_tiny_patch4_window7_224.ms_in1k", 81.3),
            Preset("swin-s", "Swin-S", "swin_small_patch4_window7_224.ms_in1k", 83.0),
            Preset("swin-b", "Swin-B", "swin_base_patch4_window7_224.ms_in1k", 83.5),
            Preset("convnext-t", "ConvNeXt-T", "convnext_tiny.fb_in1k", 82.1),
            Preset("convnext-s", "ConvNeXt-S", "convnext_small.fb_in1k", 83.1),
            Preset("convnext-b", "ConvNeXt-B", "convnext_base.fb_in1k", 83.8),
            *_fans(),
        )
    }
)


def get_preset(name: str) -> Preset:
    """Look a preset up.

    Raises:
        KeyError: If there is none of that name.
    """
    if name not in PRESETS:
        raise unknown_name("preset", name, PRESETS)
    return PRESETS[name]


__all__ = ["PRESETS", "Preset", "get_preset"]
