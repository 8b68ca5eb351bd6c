"""The page of the paper's rows against benchmarks/paper_rows.py, which counts them."""

import csv
import re

import pytest

from stl_backbones.models.mm_presets import MM_PRESETS


@pytest.fixture(scope="module")
def page(repo_root):
    return (repo_root / "docs/reference/paper_rows.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def paper_rows(repo_root):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(repo_root / "benchmarks")
        import paper_rows
    return paper_rows


def counted(page):
    """Row -> cells of the page's table of sizes."""
    sizes = page.partition("### Sizes")[2]
    rows = re.findall(r"^\| ([^|]+) \| `([^`]+)` \|(.*)\|$", sizes, re.MULTILINE)
    return {title: (name, *map(str.strip, cells.split("|"))) for title, name, cells in rows}


def test_every_row_of_table_4_is_there_with_its_preset(page, repo_root):
    text = (repo_root / "stl_backbones/report/paper/table4_segmentation.csv").read_text()
    printed = {row["model"]: row["encoder_params_m"] for row in csv.DictReader(text.splitlines())}
    rows = counted(page)
    assert list(rows) == list(printed)
    for preset in MM_PRESETS.values():
        if preset.table == 4:
            assert rows[preset.title][0] == preset.name
    for title, (_, _, _, size, _, _) in rows.items():
        assert float(size.removesuffix(" (!)").replace("-", "0")) == float(printed[title] or 0)


def test_what_is_printed_otherwise_has_a_reason(page):
    reasons = page.partition("`(!)` marks")[2]
    for title, (_, encoder, classifier, size, _, _) in counted(page).items():
        value = size.removesuffix(" (!)")
        if value == "-":
            continue
        counts = [float(count) for count in (encoder, classifier) if count != "-"]
        is_far = min(abs(count / float(value) - 1) for count in counts) > 0.01
        assert is_far == size.endswith("(!)"), title
        assert not is_far or f"**{title}**" in reasons


def test_one_row_is_counted_as_the_page_says(paper_rows, page):
    network = paper_rows.build(MM_PRESETS["segformer-convnext-t"].config)
    encoder = paper_rows.count_parameters(network.backbone)
    _, printed, _, _, whole, macs = counted(page)["ConvNeXt-T"]
    assert printed == f"{encoder / 1e6:.2f}"
    assert whole == f"{paper_rows.count_parameters(network) / 1e6:.2f}"
    assert macs == f"{paper_rows.count_macs(network, paper_rows.SIDE) / 1e9:.0f}"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_the_table_is_the_benchmarks(paper_rows, page):
    assert paper_rows.table(paper_rows.counts()) in page
