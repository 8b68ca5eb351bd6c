"""Parameters and multiply-accumulates of the rows of the paper's Table 4, counted and printed.

    python benchmarks/paper_rows.py

Builds each row's network from its config, with no weights, and counts: the encoder, the classifier
on ImageNet that it comes from, the whole network as it is trained, and one pass over 1024x1024
pixels. Beside it stands what the table prints as the encoder's size. Prints the Markdown table of
docs/reference/paper_rows.md, which a test compares with it.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from types import MappingProxyType

import timm
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from stl_backbones.config.packaged import config_file
from stl_backbones.config.reading import load_config
from stl_backbones.models.counting import count_macs, count_parameters
from stl_backbones.models.mm_presets import MM_PRESETS

SIDE = 1024  # pixels of the square image
_MILLION, _BILLION = 1e6, 1e9

# The classifier on ImageNet whose weights the encoder starts from, by timm's name.
CLASSIFIERS: Mapping[str, str] = MappingProxyType(
    {
        "DeepLabv3+ (R50)": "resnet50",
        "DeepLabv3+ (R101)": "resnet101",
        "DeepLabv3+ (X65)": "xception65",
        "DeepLabv3+ (X71)": "xception71",
        "ICNet": "resnet50",
        "FCN8s": "vgg16",
        "DilatedNet": "vgg16",
        "PSPNet": "resnet50",
        "ConvNeXt-T": "convnext_tiny",
        "SETR": "deit_small_patch16_224",
        "SWIN-T": "swin_tiny_patch4_window7_224",
        "FAN-B-Hybrid": "fan_base_16_p4_hybrid",
        "STL (FAN-B-Hybrid)": "fan_base_16_p4_hybrid_token",
        "FAN-L-Hybrid": "fan_large_16_p4_hybrid",
        "STL (FAN-L-Hybrid)": "fan_large_16_p4_hybrid_token",
    }
)


@dataclass(frozen=True)
class Count:
    """What was counted of a row.

    Attributes:
        title: The row's name in Table 4.
        preset: Its name for ``--preset``; of a row of FAN, its config.
        encoder: Parameters of the config's backbone.
        classifier: Of the classifier on ImageNet; 0 where timm has none.
        printed: The row's "Encoder Size", millions; ``None`` if it prints none.
        whole: Parameters of the whole network, auxiliary heads too.
        macs: Multiply-accumulates of one pass over `SIDE` x `SIDE` pixels.
    """

    title: str
    preset: str
    encoder: int
    classifier: int
    printed: float | None
    whole: int
    macs: int

    @property
    def deviation(self) -> float | None:
        """How far the nearer of encoder and classifier is from what is printed, as a fraction."""
        if self.printed is None:
            return None
        return min(
            abs(count / _MILLION / self.printed - 1) for count in (self.encoder, self.classifier)
        )


def counts() -> Iterator[Count]:
    """Every row of Table 4, in its order."""
    presets = {preset.title: preset for preset in MM_PRESETS.values() if preset.table == 4}
    text = files("stl_backbones.report.paper").joinpath("table4_segmentation.csv").read_text()
    for row in csv.DictReader(text.splitlines()):
        title = row["model"]
        if title in presets:
            name, config = presets[title].name, presets[title].config
        else:
            size = title.removeprefix("STL (").removeprefix("FAN-")[0].lower()
            name = config = f"stl_backbones::seg/stl_fan_{size}_cityscapes"
        network = build(config)
        classifier = CLASSIFIERS.get(title)
        yield Count(
            title=title,
            preset=name,
            encoder=count_parameters(network.get_submodule("backbone")),
            classifier=count_parameters(timm.create_model(classifier)) if classifier else 0,
            printed=float(row["encoder_params_m"]) if row["encoder_params_m"] else None,
            whole=count_parameters(network),
            macs=count_macs(network, SIDE),
        )


def build(config: str) -> nn.Module:
    """A config's network on the meta device: shapes alone."""
    settings = load_config(config_file(config))
    init_default_scope(settings.default_scope)
    return MODELS.build(settings.model).eval().to("meta")


def table(rows: Iterator[Count]) -> str:
    """The rows as Markdown."""
    lines = [
        "| row | `--preset`, or config | encoder, M | as ImageNet classifier, M | printed, M "
        "| whole network, M | G multiply-accumulates |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        classifier = f"{row.classifier / _MILLION:.2f}" if row.classifier else "-"
        printed = "-" if row.printed is None else f"{row.printed}"
        if row.deviation is not None and row.deviation > 0.01:
            printed += " (!)"
        lines.append(
            f"| {row.title} | `{row.preset}` | {row.encoder / _MILLION:.2f} | {classifier} "
            f"| {printed} | {row.whole / _MILLION:.2f} | {row.macs / _BILLION:.0f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(counts()))
