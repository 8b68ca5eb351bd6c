import dataclasses

import numpy as np
import pytest

from stl_backbones.records import CellResult
from stl_backbones.report.numbers.aggregates import Aggregate, Findings
from stl_backbones.report.numbers.comparison import Difference, compare
from stl_backbones.report.numbers.keys import CLEAN_KEY
from stl_backbones.report.read.cells import Draws
from stl_backbones.report.read.runs import read_runs
from stl_backbones.report.tables import signed_difference
from stl_backbones.report.tasks import get_task
from stl_backbones.results import CellStore


def differences_of(folders, *, resamples=500, partial=False):
    draws = Draws(resamples=resamples)
    protocol, runs = read_runs(folders, partial=partial, draws=draws)
    findings = Findings(runs, protocol, get_task(runs[0].provenance.task), draws)
    return {one.name: one for one in compare(findings)}


def better(cell):
    """The default's hits and one more: nested, so better on the same image of every cell."""
    return 17 if cell.is_clean else 17 - 2 * cell.severity


def test_equal_models_differ_by_zero_with_p_one(make_classified):
    found = differences_of([make_classified("a", model="A"), make_classified("b", model="B")])
    got = {(one.value, one.interval, one.p_value) for one in found.values()}
    assert got == {(0.0, (0.0, 0.0), 1.0), (None, None, None)}  # and what was not measured
    assert found["average"].p_value == 1.0


def test_a_resample_without_a_score_leaves_no_p(make_store):
    """Half the resamples of these two images hold no hit: their retention is a share of nothing."""
    found = differences_of([make_store("a", model="A"), make_store("b", model="B")])
    assert found["average"].p_value == 1.0
    assert found["retention"].value == 0.0
    assert np.isnan(found["retention"].p_value)


def test_the_difference_is_second_minus_first(make_classified):
    folders = [make_classified("a", model="A"), make_classified("b", model="B", hits=better)]
    found = differences_of(folders)
    assert found["clean"].value == pytest.approx(0.05)
    assert found["average"].value == pytest.approx(0.05)
    assert found["retention"].value == pytest.approx(0.55 / 0.85 - 0.5 / 0.8)
    assert found["nll:clean"].value == pytest.approx(-(2 - 0.25) / 20)


def test_it_is_paired(make_classified):
    """Five images differ, one per severity: the interval is that of their counts alone."""
    folders = [make_classified("a", model="A"), make_classified("b", model="B", hits=better)]
    one = differences_of(folders, resamples=4000)["average"]
    deviation = np.std(one.second.replicates[1:] - one.first.replicates[1:])
    per_image = np.zeros(20)
    per_image[[6, 8, 10, 12, 14]] = 1 / 5  # right at one severity more
    assert deviation == pytest.approx(per_image.std() / np.sqrt(20), rel=0.05)
    alone = np.std(one.first.replicates[1:])
    assert deviation < 0.4 * alone
    assert one.interval[0] > 0
    assert one.p_value < 0.05


def test_a_difference_on_one_image_is_no_evidence(make_classified):
    folders = [make_classified("a", model="A"), make_classified("b", model="B", hits=better)]
    one = differences_of(folders)["clean"]  # image 16 alone
    assert one.interval[0] == 0
    assert one.p_value > 0.3


def test_missing_numbers_have_no_difference(make_classified):
    folders = [make_classified("a", model="A"), make_classified("b", without=("fog-1",))]
    found = differences_of(folders, partial=True)
    assert (found["fog"].value, found["fog"].p_value) == (None, None)
    assert found["snow"].value == 0


def test_segmentation_is_compared_by_resampled_matrices(make_store):
    folders = [make_store("a", model="A"), make_store("b", model="B", percent=lambda cell: 40)]
    found = differences_of(folders)
    assert found["clean"].value == pytest.approx(-0.4)
    assert found["average"].value == pytest.approx(0.40 - 0.45)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.012, "+1.2"), (-0.012, "-1.2"), (0.0001, "0.0"), (-0.0001, "0.0"), (0.0, "0.0")],
)
def test_a_difference_has_a_sign_unless_it_rounds_to_zero(value, text):
    one = Aggregate(CLEAN_KEY, "Clean", "summary", np.zeros(3))
    assert signed_difference(Difference("clean", one, one, value, None, 0.5), 1) == text


@pytest.mark.parametrize("count", [1, 3])
def test_it_takes_two(make_classified, count):
    folders = [make_classified(str(index), model=str(index)) for index in range(count)]
    with pytest.raises(ValueError, match=f"--compare takes two folders, got {count}"):
        differences_of(folders)


def test_it_needs_resamples(make_classified):
    folders = [make_classified("a"), make_classified("b")]
    with pytest.raises(ValueError, match="expected --resamples of at least 1"):
        differences_of(folders, resamples=0)


def _reversed(folder, cells=None):
    """The same scores, the images in another order."""
    store = CellStore(folder)
    for cell in cells or store.cells():
        result = store.read(cell)
        samples = {name: values[::-1].copy() for name, values in result.samples.items()}
        store.write(CellResult(cell, result.provenance, result.image_ids[::-1], samples))


def test_images_in_another_order_are_not_paired(make_classified):
    first, second = make_classified("a", model="A"), make_classified("b", model="B")
    _reversed(second)
    with pytest.raises(ValueError, match="'A' and 'B' hold other images, or in another order"):
        differences_of([first, second])


def test_cells_in_another_order_are_not_resampled_jointly(make_classified):
    folder = make_classified()
    store = CellStore(folder)
    last = store.cells()[-1]
    _reversed(folder, [last])
    message = rf"{last.name}\.npz' holds other images than '.*clean\.npz', or in another order"
    with pytest.raises(ValueError, match=message):
        read_runs([folder])


def test_cells_of_other_labels_are_refused(make_classified):
    store = CellStore(make_classified())
    last = store.cells()[-1]
    result = store.read(last)
    samples = {**result.samples, "label": np.roll(result.samples["label"], 1)}
    store.write(dataclasses.replace(result, samples=samples))
    with pytest.raises(ValueError, match="holds other labels than"):
        read_runs([store.folder])
