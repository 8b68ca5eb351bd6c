"""The classifiers of the paper's Tables 2, 3 and 12, each with weights that come near its scores.

The paper does not name its files. Where timm holds several trainings of a network, the one whose
published accuracy is nearest to the table's was taken. Where it holds none, the authors' own file
is named; it is fetched like any file that is given by its address.

References:
    Zhao et al. 2023 (STL), Tables 2, 3 and 12. timm's results-imagenet.csv for the weights'
    accuracies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from stl_backbones.errors import unknown_name
from stl_backbones.models.variants import get_variant


@dataclass(frozen=True)
class Preset:
    """A classifier of the paper.

    Attributes:
        name: The name used on the command line.
        title: Its name in the first of the tables that have it.
        timm_name: timm's model with the tag of its weights; without a tag, timm holds no weights.
        paper_top1: Its clean top-1 accuracy there, percent; ``None``: the paper prints none.
        weights: The address of the authors' file, where timm holds none; empty: none is known.
        note: What is known to differ from the row, or where else its weights are.
    """

    name: str
    title: str
    timm_name: str
    paper_top1: float | None
    weights: str = ""
    note: str = ""


_LV_VIT = "https://github.com/zihangJiang/TokenLabeling/releases/download"
_DAT = (
    "https://alisec-competition.oss-cn-shanghai.aliyuncs.com/discrete_adversarial_training_models"
)
_RVT = (
    "written from the paper: the authors' files (https://github.com/alibaba/easyrobust) do not "
    "fit, train it or give a file of your own"
)
_NO_CLEAN = "the paper prints no clean accuracy to choose the weights by"


def _fans() -> list[Preset]:
    # Table 2: FAN with class labels alone, and trained with STL.
    scores = {"t": (80.1, 79.9), "s": (83.5, 83.4), "b": (83.9, 84.5), "l": (84.3, 84.7)}
    found = []
    for letter, arch in (
        ("t", "tiny_hybrid"), ("s", "small_hybrid"), ("b", "base_hybrid"), ("l", "large_hybrid")
    ):  # fmt: skip
        variant, (plain, stl) = get_variant(arch), scores[letter]
        found += [
            Preset(
                f"fan-{letter}", variant.title, variant.name, plain,
                note="files: https://github.com/NVlabs/FAN",
            ),
            Preset(
                f"stl-fan-{letter}", f"STL ({variant.title})", f"{variant.name}_token", stl,
                note="files: https://github.com/NVlabs/STL",
            ),
        ]  # fmt: skip
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
            Preset(
                "lv-vit-t", "LV-ViT-T", "lv_vit_t", 79.1, f"{_LV_VIT}/v0.2.0/lvvit_t.pth",
                "multiply-accumulates are 2.9 G, the paper prints 2.1",
            ),
            Preset("resnet50", "ResNet50", "resnet50.ram_in1k", 79.0),
            Preset("deit-s", "DeiT-S", "deit_small_patch16_224.fb_in1k", 79.9),
            Preset("deit-b", "DeiT-B", "deit_base_patch16_224.fb_in1k", 81.8),
            Preset("swin-t", "Swin-T", "swin_tiny_patch4_window7_224.ms_in1k", 81.3),
            Preset("swin-s", "Swin-S", "swin_small_patch4_window7_224.ms_in1k", 83.0),
            Preset("swin-b", "Swin-B", "swin_base_patch4_window7_224.ms_in1k", 83.5),
            Preset("convnext-t", "ConvNeXt-T", "convnext_tiny.fb_in1k", 82.1),
            Preset("convnext-s", "ConvNeXt-S", "convnext_small.fb_in1k", 83.1),
            Preset("convnext-b", "ConvNeXt-B", "convnext_base.fb_in1k", 83.8),
            Preset(
                "lv-vit-s", "LV-ViT-S", "lv_vit_s", 83.3,
                f"{_LV_VIT}/1.0/lvvit_s-26M-224-83.3.pth.tar",
            ),
            Preset(
                "lv-vit-m", "LV-ViT-M", "lv_vit_m", 84.0,
                f"{_LV_VIT}/1.0/lvvit_m-56M-224-84.0.pth.tar",
                "multiply-accumulates are 12.7 G, the paper prints 16.0",
            ),
            *_fans(),
            Preset("rvt-s", "RVT-S", "rvt_s", 81.9, note=_RVT),
            Preset("xcit-s12", "XCiT-S12", "xcit_small_12_p16_224.fb_in1k", 81.9),
            Preset("xcit-s24", "XCiT-S24", "xcit_small_24_p16_224.fb_in1k", 82.6),
            Preset("rvt-b", "RVT-B", "rvt_b", 82.6, note=_RVT),
            Preset(
                "mae-vit-b", "MAE-ViT-B", "mae_vit_base_patch16_224", 83.6,
                "https://dl.fbaipublicfiles.com/mae/finetune/mae_finetuned_vit_base.pth",
                "its md5 begins with 1b25e9",
            ),
            Preset(
                "dat-augreg-vit", "DAT-AugReg-ViT", "dat_vit_base_patch16_224", 81.5,
                f"{_DAT}/vit_dat.pth",
                "its authors do not state the normalisation; ImageNet's is taken",
            ),
            Preset("vit-s", "ViT-S", "vit_small_patch16_224.augreg_in1k", None, note=_NO_CLEAN),
            Preset("resnet101", "ResNet-101", "resnet101.a1h_in1k", None, note=_NO_CLEAN),
            Preset("vit-b", "ViT-B", "vit_base_patch16_224.augreg_in1k", None, note=_NO_CLEAN),
            Preset(
                "swin-b-in22k", "Swin-B-IN22k",
                "swin_base_patch4_window7_224.ms_in22k_ft_in1k", None,
            ),
        )
    }
)  # fmt: skip

# Rows that another table has under another name: table -> that name -> preset.
_OTHER_NAMES: Mapping[int, Mapping[str, str]] = {
    3: {"ConvNext-T": "convnext-t", "ConvNext-S": "convnext-s", "ConvNext-B": "convnext-b"},
    12: {
        "ResNet-18": "resnet18",
        "MobileNetV2": "mobilenet-v2",
        "EfficientNet-B0": "efficientnet-b0",
        "PVT-V2-B0": "pvt-v2-b0",
        "PVT-V2-B1": "pvt-v2-b1",
        "ResNet-50": "resnet50",
    },
}


def preset_of_row(table: int, title: str) -> Preset:
    """The preset of a row.

    Args:
        table: 2, 3 or 12.
        title: The row's name there.

    Raises:
        KeyError: If there is none.
    """
    name = _OTHER_NAMES.get(table, {}).get(title)
    titles = {preset.title: preset for preset in PRESETS.values()}
    return titles[title] if name is None else PRESETS[name]


def get_preset(name: str) -> Preset:
    """Look a preset up.

    Raises:
        KeyError: If there is none of that name.
    """
    if name not in PRESETS:
        raise unknown_name("preset", name, PRESETS)
    return PRESETS[name]


__all__ = ["PRESETS", "Preset", "get_preset", "preset_of_row"]
