"""Whatever cells are missing: no number stands for what was not measured, no mean for a part."""

import csv
import io
import math
import re
import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stl_backbones.corruptions.protocols import CUSTOM_PROTOCOLS, Protocol
from stl_backbones.records import CLEAN, Cell
from stl_backbones.report.read.runs import IncompleteRunsError
from stl_backbones.report.write import make_report
from stl_backbones.results import CellStore

SMALL = Protocol(
    "small",
    {"weather": ("fog", "snow"), "noise": ("shot_noise",)},
    "this test",
    {"fog": (1, 2), "snow": (1, 3), "shot_noise": (2,)},
)
CELLS = SMALL.cells()
HITS = {cell: 4 + index for index, cell in enumerate(CELLS)}  # of 20 images: some of each class


@pytest.fixture
def sweeps(own_catalog, make_store, make_classified, make_detected):
    """A finished sweep of each task, of which no cell's number is zero."""
    CUSTOM_PROTOCOLS["small"] = SMALL
    return {
        "segmentation": make_store("s", protocol="small", percent=lambda cell: 5 * HITS[cell]),
        "classification": make_classified(
            "c", cells="small", protocol="small", hits=lambda cell: HITS[cell]
        ),
        "detection": make_detected("d", cells="small", protocol="small", cars=lambda cell: 2),
    }


def part_of(folder, present, tmp_path):
    """A copy of a sweep with some of its cells."""
    copy = tmp_path / "part"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("report"))
    for cell in set(CELLS) - set(present):
        CellStore(copy).path(cell).unlink()
    return copy


def expected_numbers(present):
    """Place -> fraction or None, of a classifier's top-1; by hand."""
    scores = {cell: HITS[cell] / 20 for cell in present}

    def mean(cells):
        return float(np.mean([scores[c] for c in cells])) if set(cells) <= set(scores) else None

    places = {name: mean([Cell(name, s) for s in SMALL.severities[name]])
              for name in SMALL.corruptions}  # fmt: skip
    whole = list(places.values())
    average = None if None in whole else float(np.mean(whole))
    weather = [places["fog"], places["snow"]]
    clean = scores.get(CLEAN)
    return {
        **places, "clean": clean, "average": average, "noise": places["shot_noise"],
        "weather": None if None in weather else float(np.mean(weather)),
        "retention": None if average is None or clean is None else average / clean,
    }  # fmt: skip


def shown(value):
    return "-" if value is None else f"{100 * value:.1f}"


@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(present=st.sets(st.sampled_from(CELLS)))
def test_a_part_of_the_cells(sweeps, tmp_path, present):
    folder = part_of(sweeps["classification"], present, tmp_path)
    if present != set(CELLS):
        with pytest.raises(IncompleteRunsError, match=f"lacks {len(CELLS) - len(present)}: "):
            make_report([folder])
    made = make_report([folder], partial=True, resamples=0)
    read = lambda name: (made.folder / name).read_text(encoding="utf-8")  # noqa: E731
    numbers = expected_numbers(present)
    for row in csv.DictReader(io.StringIO(read("aggregates.csv"))):
        if row["aggregate"] in numbers:
            got, value = row["value"], numbers[row["aggregate"]]
            assert (got == "") == (value is None) == (row["missing"] != "")
            assert value is None or math.isclose(float(got), value, abs_tol=1e-12)
    for row in csv.DictReader(io.StringIO(read("cells.csv"))):
        cell = Cell(row["corruption"], int(row["severity"]))
        got = row["top1_fraction"]
        assert got == "" if cell not in present else float(got) == HITS[cell] / 20
    (row,) = csv.DictReader(io.StringIO(read("table.csv")))
    assert row["cells_measured"] == str(len(present))
    main = next(
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in read("report.md").split("Top-1 (%), protocol small")[1].splitlines()
        if line.startswith("| STL")
    )
    places = ("clean", "average", "retention", *SMALL.corruptions)
    assert main[2:] == [shown(numbers[place]) for place in places]
    mark = "" if present == set(CELLS) else f"PARTIAL: STL has {len(present)} of {len(CELLS)} cells"
    assert all(mark in read(name) for name in ("report.md", "table.tex", "index.html"))


@settings(
    max_examples=5,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(present=st.sets(st.sampled_from(CELLS)))
@pytest.mark.parametrize("task", ["segmentation", "classification", "detection"])
def test_no_zero_and_no_nan_is_printed(sweeps, tmp_path, task, present):
    """None of these sweeps' own numbers is zero, but for a person that the detector loses, and
    classes that are never taken for another on clean images, or do not fall.

    No object of the detector's is a large one.
    """
    never = {"0.0", "None", "inf"} | (set() if task == "detection" else {"nan"})
    folder = part_of(sweeps[task], present, tmp_path)
    made = make_report([folder], partial=True, resamples=0, require=["average >= 0.5"])
    for name in ("report.md", "table.tex", "index.html"):
        text = (made.folder / name).read_text(encoding="utf-8").split("</style>")[-1]
        text = re.sub(r'(?s)<svg.*?</svg>|<p class="scale">.*?</p>', "", text)  # axes begin at 0
        text = re.sub(r"(?m)^\| person .*$|(?s:<th[^>]*>person</th>.*?</tr>)", "", text)
        text = re.sub(r"(?m)^.* -\\?> .*$|(?s:<tr>(?:(?!</tr>).)*-&gt;.*?</tr>)", "", text)
        text = re.sub(r'(<td class="word">[^<]*</td>)<td>0\.0</td>', r"\1", text)  # no fall
        cells = re.findall(r"(?:\||&|>)\s*(-?0\.0|0|nan|NaN|None|inf)\s*(?:\||&|<|\\\\)", text)
        assert cells == [], name
    for path in made.folder.glob("*.csv"):
        for row in csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))):
            numbers = {k: v for k, v in row.items() if "fraction" in k or k in ("value", "low")}
            if row.get("class") == "person" or "clean_share_fraction" in row:
                continue
            assert not never & set(numbers.values()), (path.name, numbers)
