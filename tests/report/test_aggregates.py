import dataclasses

import numpy as np
import pytest

from stl_backbones.corruptions.catalog import GROUPS
from stl_backbones.metrics import ALEXNET_CLEAN_ERROR, ALEXNET_ERRORS
from stl_backbones.records import CLEAN, Cell, CellResult, Provenance
from stl_backbones.report.numbers.aggregates import Findings, cell_aggregate
from stl_backbones.report.numbers.summary import corruption_scores
from stl_backbones.report.read.cells import Draws
from stl_backbones.report.read.metrics import replicate
from stl_backbones.report.read.runs import read_runs
from stl_backbones.report.tasks import get_task
from stl_backbones.results import CellStore
from stl_backbones.shift_sets import DOMAINS, SHIFT_SETS

PLAIN_RECORD = {
    **dict.fromkeys(
        ("model", "protocol", "dataset", "dataset_fingerprint", "config_sha256",
         "checkpoint_sha256", "inference", "corruption_source", "corruption_mode",
         "corruption_package", "channel_order", "device"), "",
    ),
    "task": "classification", "num_images_total": 0, "skipped": (), "classes": ("a", "b"),
    "seed": 0, "versions": {},
}  # fmt: skip
EXTRA = 4  # fewer right under what only some protocols have


def uneven(cell):
    """The paper's 16: 10 on average; elastic transform, zoom blur and spatter 4 fewer."""
    if cell.is_clean:
        return 16
    less = EXTRA if cell.corruption in ("elastic_transform", "zoom_blur", "spatter") else 0
    return 16 - 2 * cell.severity - less


def found_of(folder, *, resamples=0, protocol=None, partial=False):
    draws = Draws(resamples=resamples)
    chosen, (run,) = read_runs([folder], protocol=protocol, partial=partial, draws=draws)
    return Findings((run,), chosen, get_task(run.provenance.task), draws).aggregates[0]


@pytest.fixture
def found(make_classified):
    return found_of(make_classified(hits=uneven, cells="all"))


def test_accuracies_by_hand(found):
    assert found["clean"].value == 0.8
    assert found["average"].value == pytest.approx(0.5)
    assert found["retention"].value == pytest.approx(0.5 / 0.8)
    assert found["fog"].value == pytest.approx(0.5)
    assert found["top5:clean"].value == pytest.approx(17 / 20)
    assert found["top5:average"].value == pytest.approx(11 / 20)
    assert found["top5:fog"].value == pytest.approx(11 / 20)


def test_each_protocol_has_its_mean_under_its_own_name(found):
    low = (10 - EXTRA) / 20
    assert found["stl-imagenet-c"].value == pytest.approx(0.5)
    assert found["stl-imagenet-c-17"].value == pytest.approx((16 * 0.5 + low) / 17)
    assert found["imagenet-c"].value == pytest.approx((13 * 0.5 + 2 * low) / 15)
    assert found["all"].value == pytest.approx((16 * 0.5 + 3 * low) / 19)


def test_groups_are_means_of_their_corruptions(make_classified):
    def by_group(cell):
        if cell.is_clean:
            return 16
        return next(2 + i for i, names in enumerate(GROUPS.values()) if cell.corruption in names)

    found = found_of(make_classified(hits=by_group))
    means = [found[group].value for group in ("noise", "blur", "weather", "digital")]
    assert means == pytest.approx([0.10, 0.15, 0.20, 0.25])


def test_corruption_errors_by_hand(found):
    error = dict.fromkeys(ALEXNET_ERRORS, 0.5)
    error |= dict.fromkeys(("elastic_transform", "zoom_blur"), 1 - (10 - EXTRA) / 20)
    ratios = [error[name] / ALEXNET_ERRORS[name] for name in ALEXNET_ERRORS]
    assert found["mce"].value == pytest.approx(np.mean(ratios))
    gains = [
        (error[name] - 0.2) / (ALEXNET_ERRORS[name] - ALEXNET_CLEAN_ERROR)
        for name in ALEXNET_ERRORS
    ]
    assert found["relative_mce"].value == pytest.approx(np.mean(gains))
    assert found["mce"].lower_is_better


def test_calibration_and_likelihood_by_hand(found):
    # 16 of confidence 0.75 that are right, 4 of 0.25 that are wrong: every gap is 0.25
    assert found["ece:clean"].value == pytest.approx(0.25, abs=1e-6)
    assert found["nll:clean"].value == pytest.approx((16 * 0.25 + 4 * 2) / 20)
    assert found["nll:average"].value == pytest.approx((10 * 0.25 + 10 * 2) / 20)
    assert found["nll:fog"].unit == "nats"


def test_what_is_missing_is_named(make_classified):
    found = found_of(make_classified())
    assert found["mce"].value is None
    assert found["mce"].missing[:2] == ("zoom_blur-1", "zoom_blur-2")
    assert len(found["mce"].missing) == 10
    assert found["stl-imagenet-c-17"].missing == tuple(f"spatter-{s}" for s in range(1, 6))
    assert found["imagenet-a"].missing == ("set imagenet-a",)
    assert found["average"].value == pytest.approx(0.5)


def test_a_missing_cell_spoils_only_what_needs_it(make_classified):
    found = found_of(make_classified(without=("fog-3",)), partial=True)
    for key in ("average", "retention", "fog", "weather", "ece:average", "nll:fog"):
        assert (found[key].value, found[key].missing) == (None, ("fog-3",))
    assert found["blur"].value == pytest.approx(0.5)
    assert found["clean"].value == 0.8


def test_sets_of_other_images_and_their_retention(make_classified):
    sets = {"imagenet-a": 5, "imagenet-a-clean": 18, "imagenet-r": 8}
    found = found_of(make_classified(sets=sets))
    assert found["imagenet-a"].value == 0.25
    assert found["imagenet-a-clean"].value == 0.9
    assert found["imagenet-a-retention"].value == pytest.approx(0.25 / 0.9)
    assert found["top5:imagenet-r"].value == pytest.approx(9 / 20)
    assert found["imagenet-r-retention"].value is None
    assert found["imagenet-r-retention"].missing == ("set imagenet-r-clean",)


def test_effective_robustness_is_what_coco_o_is_above_45_percent_of_clean(make_detected):
    """Three domains are scored as clean images are, under fog 5 nothing is found."""
    folder = make_detected()
    store = CellStore(folder)
    for name, cell in zip(DOMAINS, [CLEAN, Cell("fog", 5)] * 3, strict=True):
        record = dataclasses.replace(store.provenance(), dataset=SHIFT_SETS[name].title)
        own = CellStore(folder / name)
        with own.writing(record):
            own.write(dataclasses.replace(store.read(cell), cell=CLEAN, provenance=record))
    found = found_of(folder)
    clean = (76 / 101 + 1) / 2  # of the cars and the person
    assert found["coco-o"].value == pytest.approx(clean / 2)
    assert found["effective_robustness"].value == pytest.approx(clean / 2 - 0.45 * clean)


def test_a_corruptions_mean_is_the_same_number_in_pictures(make_store, make_classified):
    for folder in (make_store("a"), make_classified("b")):
        protocol, (run,) = read_runs([folder])
        found = found_of(folder)
        for name, mean in corruption_scores(run, protocol).items():
            assert found[name].value == pytest.approx(mean, abs=1e-15)


def test_segmentation_has_no_corruption_error(make_store):
    assert "mce" not in found_of(make_store())


def test_the_interval_of_a_mean_is_as_wide_as_the_binomial_one(make_classified):
    found = found_of(make_classified(), resamples=4000)
    low, high = found["clean"].interval
    deviation = np.sqrt(0.8 * 0.2 / 20)
    assert (high - low) / 2 == pytest.approx(1.96 * deviation, rel=0.1)
    assert low < 0.8 < high


def test_images_are_resampled_jointly_over_cells(make_classified):
    """Nested hits: a resample poor in easy images is poor in every cell."""
    found = found_of(make_classified(), resamples=4000)
    average = found["average"].replicates[1:]
    shares = np.array([[image < 16 - 2 * s for s in range(1, 6)] for image in range(20)])
    expected = shares.mean(axis=1).std() / np.sqrt(20)  # of a mean over images
    assert average.std() == pytest.approx(expected, rel=0.05)
    assert np.corrcoef(average, found["clean"].replicates[1:])[0, 1] > 0.5


def test_retention_is_resampled_as_a_ratio(make_classified):
    found = found_of(make_classified(), resamples=50)
    ratio = found["average"].replicates / found["clean"].replicates
    np.testing.assert_allclose(found["retention"].replicates, ratio)


def test_the_interval_of_calibration_holds_its_value(make_classified):
    found = found_of(make_classified(), resamples=500)
    for key in ("ece:clean", "ece:average"):
        low, high = found[key].interval
        assert low <= found[key].value <= high


def test_miou_is_resampled_by_sums_of_matrices(make_store):
    """Two images: all hits in one, all misses in the other, drawn 2:0, 1:1 or 0:2 times."""
    found = found_of(make_store(), resamples=4000)
    values, counts = np.unique(found["clean"].replicates[1:].round(12), return_counts=True)
    np.testing.assert_allclose(values, [0, 0.8, 1])
    np.testing.assert_allclose(counts / 4000, [0.25, 0.5, 0.25], atol=0.03)


def test_without_resamples_there_are_no_intervals(found):
    assert found["clean"].interval is None


def test_a_cell(make_classified):
    chosen, (run,) = read_runs([make_classified()])
    metrics = {one.key: one for one in get_task("classification").cells}
    assert cell_aggregate(run, metrics["top1"], Cell("fog", 4)).value == 0.4
    assert cell_aggregate(run, metrics["nll"], CLEAN).value == pytest.approx(0.6)
    absent = cell_aggregate(run, metrics["top1"], Cell("zoom_blur", 1))
    assert (absent.value, absent.missing) == (None, ("zoom_blur-1",))
    assert chosen.name == "stl-imagenet-c"


def test_resamples_of_calibration_have_the_measured_value_as_their_mean():
    """Uncentred, the error of a calibrated model would lie below all of its resamples."""
    rng = np.random.default_rng(0)
    images = 300
    confidence = rng.uniform(0.05, 1, images)
    right = rng.random(images) < confidence
    samples = {
        "label": np.zeros(images, np.int32),
        "prediction": (~right).astype(np.int32),
        "confidence": confidence.astype(np.float32),
    }
    provenance = Provenance(**{**PLAIN_RECORD, "num_images": images})
    result = CellResult(CLEAN, provenance, tuple(map(str, range(images))), samples)
    metrics = [one for one in get_task("classification").cells if one.key == "ece"]
    counts = Draws(resamples=400).counts(images)
    scores = replicate(result, metrics, counts)["ece"]
    assert scores[1:].mean() == pytest.approx(scores[0])
    drawn = [np.repeat(np.arange(images), row.astype(int)) for row in counts[:50]]
    errors = [loop_ece(confidence[index], right[index]) for index in drawn]
    shift = np.array(errors) - scores[1:51]
    assert shift.std() < 1e-6  # one shift for all
    assert shift.mean() > 0.01


def loop_ece(confidence, right):
    """The definition, bin by bin."""
    bins = np.ceil(confidence * 15)
    gaps = [np.abs((right[bins == b] - confidence[bins == b]).sum()) for b in range(1, 16)]
    return sum(gaps) / len(right)


def test_sets_of_images_are_drawn_independently_and_every_time_alike():
    main, other = (Draws(resamples=9).counts(30, name) for name in ("", "imagenet-a"))
    assert (main != other).any()
    np.testing.assert_array_equal(main, Draws(resamples=9).counts(30))
    assert (main != Draws(resamples=9, seed=1).counts(30)).any()
