"""Writes the tables of docs/reference/paper_rows.md: what is counted of each network.

``python docs/paper_rows.py`` rewrites what lies between the page's marks; a test compares them.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType

import timm
import torch
import yaml
from torch import nn

from stl_backbones.config.packaged import config_file, find_release
from stl_backbones.models.counting import count_macs, count_parameters
from stl_backbones.models.mm_presets import MM_PRESETS
from stl_backbones.models.presets import Preset, preset_of_row

PAGE = Path(__file__).parent / "reference/paper_rows.md"
TABLES = {2: "table2_classification", 3: "table3_ood", 12: "table12_imagenet_c"}
IMAGE = 224
SIDE = 1024  # pixels of a segmenter's square image
FAN = re.compile(r"(stl-)?fan-([tsbl])")

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
        title: The row's name.
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
        return min(abs(count / 1e6 / self.printed - 1) for count in (self.encoder, self.classifier))


def paper_table(name: str) -> list[dict[str, str]]:
    """A table of the paper, a dict for each row."""
    text = files("stl_backbones.report.paper").joinpath(f"{name}.csv").read_text()
    return list(csv.DictReader(text.splitlines()))


def counted(timm_name: str) -> tuple[float, float]:
    """Millions of parameters, and thousand millions of multiply-accumulates, at 224 pixels."""
    with torch.device("meta"):
        network = timm.create_model(timm_name).eval()
        return count_parameters(network) / 1e6, count_macs(network, IMAGE) / 1e9


def training(preset: Preset) -> str:
    """Our config that trains a classifier."""
    found = FAN.fullmatch(preset.name)
    if found:
        return f"`cls/stl_fan_{found[2]}_{'student' if found[1] else 'classifier'}`"
    return f"`cls/timm_classifier`, `arch={preset.timm_name.partition('.')[0]}`"


def weights(preset: Preset) -> str:
    """Where a classifier's weights are."""
    if preset.weights:
        return f"[authors]({preset.weights})"
    if "." in preset.timm_name:
        return f"timm, `{preset.timm_name.partition('.')[2]}`"
    address = re.search(r"https:[^\s);,]+", preset.note)
    return (
        f"[released]({address[0]})" if FAN.fullmatch(preset.name) and address else "none that fits"
    )


def classifier_lines(table: int) -> Iterator[str]:
    """A table of classifiers."""
    has_macs = table == 2
    macs = " MACs | printed |" if has_macs else ""
    yield f"| row | preset | parameters | printed |{macs} trained by | weights |"
    yield f"|---|---|--:|--:|{'--:|--:|' if has_macs else ''}---|---|"
    for row in paper_table(TABLES[table]):
        preset = preset_of_row(table, row["model"])
        millions, gigas = counted(preset.timm_name)
        cells = [row["model"], f"`{preset.name}`", f"{millions:.2f} M", f"{row['params_m']} M"]
        if has_macs:
            cells += [f"{gigas:.1f} G", f"{row['flops_g']} G"]
        yield f"| {' | '.join([*cells, training(preset), weights(preset)])} |"


def published_millions() -> dict[str, int]:
    """Parameters of whole detectors as their authors publish them, by our config's name."""
    path = config_file("stl_backbones::det/swin_t_cascade_mask_rcnn_coco").parent / "metafile.yml"
    models = yaml.safe_load(path.read_text())["Models"]
    return {Path(model["Config"]).stem: model["Metadata"]["Parameters"] for model in models}


def count_detector(name: str) -> tuple[float, float]:
    """Millions of parameters of a detector of ours, and of its backbone."""
    model = build_model(f"stl_backbones::det/{name}")
    return count_parameters(model) / 1e6, count_parameters(model.get_submodule("backbone")) / 1e6


def detector_lines() -> Iterator[str]:
    """Table 5 without the rows of FAN."""
    yield (
        "| row | preset | trained by | parameters | published | backbone | printed | weights "
        "| their box AP | the row's |"
    )
    yield "|---|---|---|--:|--:|--:|--:|---|--:|--:|"
    published, rows = published_millions(), {r["model"]: r for r in paper_table("table5_detection")}
    for preset in MM_PRESETS.values():
        if preset.table != 5:
            continue
        name = config_file(preset.training or preset.config).stem
        whole, backbone = count_detector(name)
        release, row = find_release(preset.config), rows[preset.title]
        maker = "mmdet" if preset.config.startswith("mmdet") else "authors"
        printed = f"{row['encoder_params_m']} M" if row["encoder_params_m"] else "-"
        cells = [
            preset.title, f"`{preset.name}`", f"`det/{name}`", f"{whole:.1f} M",
            f"{published[name]} M", f"{backbone:.1f} M", printed,
            f"[{maker}]({release.weights})", f"{release.scores['box AP']:.1f}", row["coco_box_map"],
        ]  # fmt: skip
        yield f"| {' | '.join(cells)} |"


def segmenters() -> Iterator[Count]:
    """Every row of Table 4, in its order, on the meta device: shapes alone."""
    presets = {preset.title: preset for preset in MM_PRESETS.values() if preset.table == 4}
    for row in paper_table("table4_segmentation"):
        title = row["model"]
        if title in presets:
            name, config = presets[title].name, presets[title].config
        else:
            size = title.removeprefix("STL (").removeprefix("FAN-")[0].lower()
            name = config = f"stl_backbones::seg/stl_fan_{size}_cityscapes"
        network, classifier = build_model(config).to("meta"), CLASSIFIERS.get(title)
        yield Count(
            title=title,
            preset=name,
            encoder=count_parameters(network.get_submodule("backbone")),
            classifier=count_parameters(timm.create_model(classifier)) if classifier else 0,
            printed=float(row["encoder_params_m"]) if row["encoder_params_m"] else None,
            whole=count_parameters(network),
            macs=count_macs(network, SIDE),
        )


def segmenter_lines() -> Iterator[str]:
    """Table 4."""
    yield (
        "| row | `--preset`, or config | encoder, M | as ImageNet classifier, M | printed, M "
        "| whole network, M | G multiply-accumulates |"
    )
    yield "|---|---|--:|--:|--:|--:|--:|"
    for row in segmenters():
        classifier = f"{row.classifier / 1e6:.2f}" if row.classifier else "-"
        printed = "-" if row.printed is None else f"{row.printed}"
        if row.deviation is not None and row.deviation > 0.01:
            printed += " (!)"
        yield (
            f"| {row.title} | `{row.preset}` | {row.encoder / 1e6:.2f} | {classifier} "
            f"| {printed} | {row.whole / 1e6:.2f} | {row.macs / 1e9:.0f} |"
        )


def build_model(config: str) -> nn.Module:
    """A config's network, with the weights of its constructor."""
    from mmengine.registry import MODELS, init_default_scope

    from stl_backbones.config.reading import load_config

    settings = load_config(config_file(config))
    init_default_scope(settings.default_scope)
    network: nn.Module = MODELS.build(settings.model)
    return network.eval()


def filled(page: str, table: int) -> str:
    """The page with one table made anew."""
    makers = {4: segmenter_lines, 5: detector_lines}
    lines = makers[table]() if table in makers else classifier_lines(table)
    begin, end = f"<!-- table {table} -->\n", f"<!-- end of table {table} -->"
    before, _, rest = page.partition(begin)
    return before + begin + "\n" + "\n".join(lines) + "\n\n" + end + rest.partition(end)[2]


if __name__ == "__main__":
    text = PAGE.read_text()
    for number in (*TABLES, 5, 4):
        text = filled(text, number)
    PAGE.write_text(text)
