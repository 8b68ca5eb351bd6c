"""Writes the tables of docs/reference/paper_rows.md that count classifiers and detectors.

``python docs/paper_rows.py`` rewrites what lies between the page's marks; a test compares them.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import timm
import torch
import yaml

from stl_backbones.config.packaged import config_file, find_release
from stl_backbones.models.counting import count_macs, count_parameters
from stl_backbones.models.mm_presets import MM_PRESETS
from stl_backbones.models.presets import Preset, preset_of_row

PAGE = Path(__file__).parent / "reference/paper_rows.md"
TABLES = {2: "table2_classification", 3: "table3_ood", 12: "table12_imagenet_c"}
IMAGE = 224
FAN = re.compile(r"(stl-)?fan-([tsbl])")


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
    from mmengine.registry import MODELS, init_default_scope

    from stl_backbones.config.reading import load_config

    init_default_scope("mmdet")
    model = MODELS.build(load_config(config_file(f"stl_backbones::det/{name}")).model)
    return count_parameters(model) / 1e6, count_parameters(model.backbone) / 1e6


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


def filled(page: str, table: int) -> str:
    """The page with one table made anew."""
    lines = detector_lines() if table == 5 else classifier_lines(table)
    begin, end = f"<!-- table {table} -->\n", f"<!-- end of table {table} -->"
    before, _, rest = page.partition(begin)
    return before + begin + "\n" + "\n".join(lines) + "\n\n" + end + rest.partition(end)[2]


if __name__ == "__main__":
    text = PAGE.read_text()
    for number in (*TABLES, 5):
        text = filled(text, number)
    PAGE.write_text(text)
