"""The page of the paper's rows: its tables are what is counted, and no row is missing."""

from __future__ import annotations

import importlib.util
import re
import sys

import pytest

from stl_backbones.models.mm_presets import MM_PRESETS
from tests.documentation.commands import ROOT

spec = importlib.util.spec_from_file_location("paper_rows", ROOT / "docs/paper_rows.py")
paper_rows = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = paper_rows  # where a dataclass looks for its module
spec.loader.exec_module(paper_rows)

# Rows whose printed size is no rounding of the network's; the page says why.
OTHER_SIZES = {"PVTv2-B1", "PVT-V2-B1", "DeiT-B", "ViT-B"}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning:mmseg")  # of its own configs, for Table 4
@pytest.mark.parametrize("table", [*paper_rows.TABLES, 5, 4])
def test_the_tables_are_what_is_counted(table):
    page = paper_rows.PAGE.read_text()
    assert paper_rows.filled(page, table) == page


@pytest.mark.parametrize("table", paper_rows.TABLES)
def test_every_row_is_on_the_page_with_a_size_near_the_printed_one(table):
    page = paper_rows.PAGE.read_text()
    part = page.partition(f"<!-- table {table} -->")[2].partition("<!-- end")[0]
    lines = [line.strip("| ").split(" | ") for line in part.splitlines() if line.startswith("| ")]
    counted = {cells[0]: float(cells[2].removesuffix(" M")) for cells in lines[1:]}
    printed = {
        row["model"]: float(row["params_m"])
        for row in paper_rows.paper_table(paper_rows.TABLES[table])
    }
    assert counted.keys() == printed.keys()
    away = {
        name
        for name, millions in printed.items()
        # Whole millions are rounded or cut; Table 3 has a digit more.
        if abs(counted[name] - millions) > (0.01 * millions if table == 3 else 1)
    }
    assert away == OTHER_SIZES & printed.keys()
    assert all(name in page.partition("What differs")[2] for name in away)


@pytest.fixture(scope="module")
def page():
    return paper_rows.PAGE.read_text(encoding="utf-8")


def sizes_of_segmenters(page):
    """Row -> cells of the page's table of sizes."""
    sizes = page.partition("### Sizes")[2]
    rows = re.findall(r"^\| ([^|]+) \| `([^`]+)` \|(.*)\|$", sizes, re.MULTILINE)
    return {title: (name, *map(str.strip, cells.split("|"))) for title, name, cells in rows}


def test_every_row_of_table_4_is_there_with_its_preset(page):
    table = paper_rows.paper_table("table4_segmentation")
    printed = {row["model"]: row["encoder_params_m"] for row in table}
    rows = sizes_of_segmenters(page)
    assert list(rows) == list(printed)
    for preset in MM_PRESETS.values():
        if preset.table == 4:
            assert rows[preset.title][0] == preset.name
    for title, (_, _, _, size, _, _) in rows.items():
        assert float(size.removesuffix(" (!)").replace("-", "0")) == float(printed[title] or 0)


def test_what_is_printed_otherwise_has_a_reason(page):
    reasons = page.partition("`(!)` marks")[2]
    for title, (_, encoder, classifier, size, _, _) in sizes_of_segmenters(page).items():
        value = size.removesuffix(" (!)")
        if value == "-":
            continue
        counts = [float(count) for count in (encoder, classifier) if count != "-"]
        is_far = min(abs(count / float(value) - 1) for count in counts) > 0.01
        assert is_far == size.endswith("(!)"), title
        assert not is_far or f"**{title}**" in reasons


def test_one_row_is_counted_as_the_page_says(page):
    network = paper_rows.build_model(MM_PRESETS["segformer-convnext-t"].config)
    encoder = paper_rows.count_parameters(network.backbone)
    _, printed, _, _, whole, macs = sizes_of_segmenters(page)["ConvNeXt-T"]
    assert printed == f"{encoder / 1e6:.2f}"
    assert whole == f"{paper_rows.count_parameters(network) / 1e6:.2f}"
    assert macs == f"{paper_rows.count_macs(network, paper_rows.SIDE) / 1e9:.0f}"
