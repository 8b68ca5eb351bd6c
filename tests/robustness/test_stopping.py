"""Sweeps that stop early: verdicts, resuming, marks, and what is refused."""

import json
import threading

import numpy as np
import pytest

import stl_backbones as stl
from stl_backbones.engine.distributed import Ranks
from stl_backbones.errors import InputError
from stl_backbones.metrics import mean_of_terms
from stl_backbones.records import CLEAN, Cell
from stl_backbones.report.read.metrics import SumMetric
from stl_backbones.report.write import make_report
from stl_backbones.results import CellStore
from stl_backbones.robustness.stopping.linear import Linear
from stl_backbones.robustness.stopping.questions import Part, Question
from stl_backbones.robustness.stopping.scores import Scores
from stl_backbones.robustness.stopping.targets import Target
from stl_backbones.sequential import BoundedMean, log_evidence

IMAGES = 300
CHOSEN = {"corruptions": ["contrast", "brightness"], "severities": [1, 3], "mode": "fast",
          "classes": ["a", "b"], "workers": 0, "progress": False, "batch_size": 16}  # fmt: skip
GATE = "contrast/1 >= 0.60"


class Model:
    """Right on clean images; on corrupted ones mostly, by the image's pixels."""

    version = "1"

    def __init__(self, name="m", share=0.8):
        self.name, self.share, self.seen = name, share, 0

    def predict(self, images):
        self.seen += len(images)
        return [self.scores(image) for image in images]

    def scores(self, image):
        label = int(image[0, 0, 2] > image[0, 0, 0])
        if (int(image.sum()) * 2654435761 >> 7) % 100 >= 100 * self.share:
            label = 1 - label
        return [0.9, 0.1] if label == 0 else [0.1, 0.9]


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    images = rng.integers(60, 180, (IMAGES, 32, 32, 3), dtype=np.uint8)
    for index, image in enumerate(images):
        image[0, 0] = (200, 90, 60) if index % 2 == 0 else (60, 90, 200)
    return [(image, index % 2) for index, image in enumerate(images)]


@pytest.fixture(scope="module")
def sweep(data):
    def run(folder, *, model=None, **chosen):
        return stl.evaluate(model or Model(), data, work_dir=folder, **{**CHOSEN, **chosen})

    return run


@pytest.fixture(scope="module")
def full(sweep, tmp_path_factory):
    folder = tmp_path_factory.mktemp("full") / "sweep"
    sweep(folder)
    return folder


@pytest.fixture(scope="module")
def stopped(sweep, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stopped") / "sweep"
    return folder, sweep(folder, until=[GATE]).outcome


def files_of(folder):
    """Bytes of all that is kept, but for times."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in ("timing.csv", "log.jsonl", ".lock")
    }


def accuracy(folder, cell):
    samples = CellStore(folder).read(cell).samples
    return float((samples["label"] == samples["prediction"]).mean())


def test_a_gate_is_decided_by_some_of_the_images(stopped, full):
    folder, outcome = stopped
    assert outcome.verdict == "PASS"
    assert 10 < outcome.images <= outcome.scored < IMAGES
    assert accuracy(full, Cell("contrast", 1)) >= 0.60
    (state,) = outcome.targets
    assert state.low <= accuracy(full, Cell("contrast", 1)) <= state.high
    store = CellStore(folder)
    assert store.cells() == (CLEAN,)
    assert len(store.stopped.read(Cell("contrast", 1)).image_ids) == outcome.scored
    assert str(outcome).startswith(f"PASS after {outcome.images} of 300 images (")


def test_the_record_says_what_was_fixed_and_older_versions_refuse_it(stopped):
    folder, outcome = stopped
    record = json.loads((folder / "run.json").read_text())
    assert record["format"] == 3
    sampling = CellStore(folder).provenance().sampling
    assert (sampling["images"], sampling["alpha"], sampling["order_seed"]) == (IMAGES, 0.05, 0)
    assert sampling["gates"] == ["contrast/1 >= 0.6"]
    assert (sampling["verdict"], sampling["decided"]) == ("PASS", outcome.images)


class StopError(Exception):
    """Ends a sweep after some blocks."""


@pytest.mark.parametrize("blocks", [1, 2])
def test_killed_at_a_block_and_resumed_in_other_blocks(sweep, stopped, tmp_path, blocks):
    _, undisturbed = stopped
    seen = []

    def stop(progress):
        if progress.targets:
            seen.append(progress.targets)
            if len(seen) == blocks:
                raise StopError

    model = Model()
    with pytest.raises(StopError):
        sweep(tmp_path / "x", until=[GATE], progress=stop, model=model)
    assert "of the evidence for PASS, about" in seen[0][0]
    again = Model()
    outcome = sweep(tmp_path / "x", until=[GATE], batch_size=7, model=again).outcome
    assert (outcome.verdict, outcome.images) == (undisturbed.verdict, undisturbed.images)
    assert outcome.images <= outcome.scored < outcome.images + 7
    assert again.seen < undisturbed.scored * 4  # clean images and kept blocks are not seen anew


def test_a_lost_block_is_scored_again(sweep, stopped, tmp_path, caplog):
    sweep(tmp_path / "x", until=[GATE])
    first, *_ = sorted((tmp_path / "x/sampled").glob("*.npz"))
    first.unlink()
    outcome = sweep(tmp_path / "x", until=[GATE]).outcome
    assert (outcome.verdict, outcome.images) == (stopped[1].verdict, stopped[1].images)
    assert "1 kept block(s) before the last one are lost" in caplog.text


def test_going_on_to_all_images_gives_the_ordinary_sweep(sweep, full, tmp_path):
    place = tmp_path / "x"
    outcome = sweep(place, until=[GATE]).outcome
    assert outcome.scored < IMAGES
    sweep(place)
    assert files_of(place) == files_of(full)
    whole = sweep(place, until=[GATE], model=(model := Model())).outcome
    assert (whole.verdict, whole.images) == ("PASS", IMAGES)
    assert model.seen <= 4  # a first look at the model


def test_a_precision_may_be_narrowed_later_and_a_gate_not(sweep, tmp_path):
    place = tmp_path / "x"
    wide = sweep(place, until=["contrast/1 +- 12"]).outcome
    assert wide.verdict == "REACHED"
    narrow = sweep(place, until=["contrast/1 +- 9"]).outcome
    assert wide.images < narrow.images < IMAGES
    assert narrow.targets[0].high - narrow.targets[0].low <= 2 * 0.09
    with pytest.raises(InputError, match="begun with until of other gates"):
        sweep(place, until=["contrast/1 +- 9", GATE])
    with pytest.raises(InputError, match="begun with until of other alpha"):
        sweep(place, until=["contrast/1 +- 9"], alpha=0.1)
    with pytest.raises(InputError, match="other order seed"):
        sweep(place, until=["contrast/1 +- 9"], order_seed=1)
    with pytest.raises(InputError, match="in 4 corrupted cells, now there are 2"):
        sweep(place, until=["contrast/1 +- 9"], corruptions=["contrast"])


def test_fail_and_undecided_to_the_end(sweep, full, tmp_path):
    failed = sweep(tmp_path / "f", until=["contrast/1 >= 0.95", "brightness/3 >= 0.5"]).outcome
    assert (failed.verdict, failed.passed) == ("FAIL", False)
    assert failed.scored < IMAGES
    exact = f"contrast/1 >= {accuracy(full, Cell('contrast', 1)):.12f}"
    outcome = sweep(tmp_path / "e", until=[exact]).outcome
    assert (outcome.verdict, outcome.images) == ("PASS", IMAGES)
    assert files_of(tmp_path / "e") == files_of(full)


def test_better_than_a_finished_model(sweep, full, tmp_path):
    better = Model("better", 0.97)
    outcome = sweep(tmp_path / "x", until=[f"contrast/1 > {full}"], model=better).outcome
    assert outcome.verdict == "PASS"
    assert outcome.scored < IMAGES
    own = sweep(tmp_path / "y", model=better).folders[0]
    truth = accuracy(own, Cell("contrast", 1)) - accuracy(full, Cell("contrast", 1))
    assert outcome.targets[0].low <= truth <= outcome.targets[0].high


class Threads(Ranks):
    """The processes of a job, as threads."""

    size, barrier, slots = 3, threading.Barrier(3, timeout=120), [None] * 3

    def __init__(self):
        self.rank = int(threading.current_thread().name)

    def on_main(self, make):
        found = self.gather(make() if self.is_main else None)
        return found[0]

    def gather(self, mine):
        self.slots[self.rank] = mine
        self.barrier.wait()
        found = list(self.slots)
        self.barrier.wait()
        return found


def test_other_ranks_give_the_same_verdict_at_most_a_turn_later(
    sweep, stopped, tmp_path, monkeypatch
):
    monkeypatch.setattr("stl_backbones.robustness.sweep.Ranks", Threads)
    found = {}

    def work(rank):
        found[rank] = sweep(tmp_path / "x", until=[GATE], batch_size=4).outcome

    threads = [threading.Thread(target=work, args=(rank,), name=str(rank)) for rank in range(3)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    alone = stopped[1]
    assert found[0] == found[1] == found[2]
    assert (found[0].verdict, found[0].images) == (alone.verdict, alone.images)
    assert alone.images <= found[0].scored < alone.images + 3 * 4


def test_chosen_cells_have_a_mean(sweep, full, tmp_path):
    until = ["clean >= 0.6", "chosen >= 0.6", "chosen +- 9"]
    outcome = sweep(tmp_path / "x", until=until).outcome
    assert outcome.verdict == "PASS"
    truth = np.mean([accuracy(full, cell) for cell in CellStore(full).cells() if cell != CLEAN])
    assert all(one.low <= truth <= one.high for one in outcome.targets[1:])
    assert outcome.targets[0].low == outcome.targets[0].high == accuracy(full, CLEAN)


def test_a_class_is_judged_by_its_own_images(sweep, full, tmp_path):
    result = CellStore(full).read(Cell("contrast", 1))
    label, prediction = (result.samples[name] for name in ("label", "prediction"))
    truth = float((prediction[label == 1] == 1).mean())
    outcome = sweep(tmp_path / "x", until=["class:b:contrast/1 >= 0.55"]).outcome
    assert outcome.verdict == "PASS"
    assert outcome.images < IMAGES
    (state,) = outcome.targets
    assert state.low <= truth <= state.high
    drawn = CellStore(tmp_path / "x").stopped.read(Cell("contrast", 1)).samples
    own = drawn["label"] == 1
    assert state.estimate == pytest.approx((drawn["prediction"][own] == 1).mean(), abs=0.1)


def test_all_images_of_a_class_settle_it():
    metric = SumMetric("m", "M", "", terms=lambda _: None, score_sums=mean_of_terms)
    hits = np.array([1.0, 0, 0, 1, 0])
    scores = Scores([metric], [Cell("fog", 1)], None, terms={"m": hits[:, None, None]})
    counted = np.array([True, False, True, False, False, False])
    asked = Target("gate", "m", ">=", 0.5)
    part = Part(Linear(metric, 0.0, np.ones(1)), scores)
    kept, broken = Question(asked, [part], 6, 1, 0.05, counted).evidence(5)
    assert kept[0] == kept[1] == log_evidence([1.0], 0.5, BoundedMean(2))[0]
    assert list(kept[2:]) == [np.inf] * 3
    assert broken[2] == -np.inf


def test_the_clean_confidence_narrows_and_is_fixed(sweep, full, tmp_path):
    place, until = tmp_path / "x", ["contrast/1 +- 9"]
    outcome = sweep(place, until=until, covariate="confidence").outcome
    assert outcome.verdict == "REACHED"
    (state,) = outcome.targets
    assert state.low <= accuracy(full, Cell("contrast", 1)) <= state.high
    assert CellStore(place).provenance().sampling["covariate"] == "confidence"
    with pytest.raises(InputError, match="other covariate"):
        sweep(place, until=until, covariate="none")


def test_marked_in_every_table_and_refused_beside_others(stopped, full, tmp_path):
    folder, outcome = stopped
    mark = f"STOPPED {outcome.scored}/{IMAGES}"
    files = make_report([folder], out=tmp_path, partial=True)
    assert f"m ({mark})" in files.text
    assert "bootstrap" not in (tmp_path / "report.md").read_text()
    for name in ("table.csv", "cells.csv", "aggregates.csv", "classification.csv"):
        _, *rows = (tmp_path / name).read_text().splitlines()
        assert rows
        assert all(mark in row for row in rows)
    for name in ("report.md", "table.tex", "index.html"):
        assert mark in (tmp_path / name).read_text()
    for options, says in (
        ({"folders": [folder, full]}, "--stopped accepts them beside others"),
        ({"folders": [folder], "require": ["contrast >= 0.5"]}, "--require is for sweeps of all"),
        ({"folders": [folder], "slices": "brightness"}, "--slices is for sweeps of all images"),
        ({"folders": [folder, full], "compare": True, "stopped": True}, "--compare is for sweeps"),
    ):
        with pytest.raises(InputError, match=says):
            make_report(options.pop("folders"), out=tmp_path, partial=True, **options)
    assert mark in make_report([folder, full], out=tmp_path, partial=True, stopped=True).text


@pytest.mark.parametrize(
    ("until", "says"),
    [
        ([GATE, "contrast/1 >= 0.7"], "names 'contrast/1' twice"),
        (["contrast/1 >= 60"], "lies in 0..1, so no sweep can miss or meet"),
        (["contrast/1 +- 0"], "a precision in points, above 0"),
        ([GATE, "top1:contrast/1 >= 0.7"], "one number twice: 'contrast/1 >= 0.6' and 'top1:c"),
        (["contrast/1 >="], "until takes 'average >= 0.60'"),
        (["contrast/1 >= 60%"], "a number such as 0.60, or the folder of a finished sweep"),
        ([1], "a list of texts"),
        (["contrast/1"], "until takes 'average >= 0.60'"),
        (["nosuch >= 0.5"], "until knows no 'nosuch'"),
        (["average >= 0.5"], "knows no 'average' under protocol 'imagenet-c (chosen: 2 of 15"),
        (["fog/5 >= 0.5"], "not swept: fog-5"),
        (["break:contrast >= 3"], "where a curve crosses a bound, so it is no mean"),
        (["class:*:contrast >= 0.5"], "expected the name of one class"),
        (["class:c:contrast >= 0.5"], "unknown class 'c'; expected one of *, a, b"),
        (["class:a:fog/5 >= 0.5"], "unknown place 'fog/5'"),
        (["ece:contrast <= 0.1"], "its bins are of all images"),
        (["nll:contrast <= 0.1"], "has no bound"),
        (["contrast/1 > /nosuch"], "the folder of a finished sweep, got '/nosuch'"),
    ],
)
def test_what_cannot_be_decided_is_refused(sweep, tmp_path, until, says):
    with pytest.raises((ValueError, KeyError, FileNotFoundError)) as error:
        sweep(tmp_path / "x", until=until)
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("chosen", "says"),
    [
        ({"until": [GATE], "limit": 20}, "limit leaves some out"),
        ({"until": [GATE], "corruptions": []}, "only the clean one is asked for"),
        ({"until": [GATE], "alpha": "0.1"}, "above 0 and at most 0.2, got '0.1'"),
        ({"until": [GATE], "order_seed": -1}, "a whole number of at least 0, got -1"),
        ({"until": [GATE], "alpha": 0.5}, "above 0 and at most 0.2, got 0.5"),
        ({"alpha": 0.1}, "alpha says how until stops"),
        ({"covariate": "confidence"}, "covariate says how until stops"),
        ({"until": [GATE], "covariate": "difficulty"}, "must be one of none, confidence, got"),
        ({"until": GATE}, "a list of texts"),
    ],
)
def test_options_that_do_not_go_together(sweep, tmp_path, chosen, says):
    with pytest.raises(InputError, match=says):
        sweep(tmp_path / "x", **chosen)


def test_one_image_a_begun_folder_and_another_baseline(data, full, tmp_path):
    chosen = {**CHOSEN, "until": [GATE]}
    with pytest.raises(InputError, match="the set holds 1"):
        stl.evaluate(Model(), data[:1], work_dir=tmp_path / "one", **chosen)
    stl.evaluate(Model(), data, work_dir=tmp_path / "b", **{**CHOSEN, "corruptions": ["contrast"]})
    with pytest.raises(InputError, match="begun without until"):
        stl.evaluate(Model(), data, work_dir=tmp_path / "b", **chosen)
    chosen["until"] = [f"contrast/1 > {full}"]
    with pytest.raises(InputError, match="baseline was measured with another seed"):
        stl.evaluate(Model(), data, work_dir=tmp_path / "s", **chosen, seed=1)
    with pytest.raises(InputError, match="another dataset_fingerprint"):
        stl.evaluate(Model(), data[:50], work_dir=tmp_path / "d", **chosen)


STREETS = np.array([[40, 60, 200], [60, 180, 60]])
SEGMENTED = {**CHOSEN, "batch_size": 4, "version": "1", "protocol": "all"}


def streets():
    """Label maps of two classes; nothing counts in every 30th."""
    rng, data = np.random.default_rng(0), []
    for index in range(180):
        label = np.zeros((32, 32), np.uint8)
        label[4 + index % 9 : 20 + index % 9] = 1
        noise = rng.integers(-6, 7, (32, 32, 1))
        image = (STREETS[label] + noise).astype(np.uint8)
        data.append((image, label if index % 30 else np.full_like(label, 255)))
    return data


def by_colour(images):
    """Right, but for the first rows of some images."""
    found = [np.abs(one[:, :, None].astype(int) - STREETS).sum(-1).argmin(-1) for one in images]
    for image, labels in zip(images, found, strict=True):
        labels[: int(image.sum()) % 4] = 1
    return found


def test_means_of_one_value_per_street_are_exact(tmp_path):
    place = tmp_path / "x"
    gates = ["image_miou:brightness/1 >= 0.7", "image_accuracy:brightness/1 +- 8"]
    outcome = stl.evaluate(by_colour, streets(), work_dir=place, until=gates, **SEGMENTED).outcome
    assert outcome.verdict == "PASS"
    assert "asymptotically" not in outcome.headline
    assert outcome.images < 100
    stl.evaluate(by_colour, streets(), work_dir=place, **SEGMENTED)
    counts = CellStore(place).read(Cell("brightness", 1)).samples["confusion_matrix"].astype(float)
    counts = counts[counts.sum(axis=(1, 2)) > 0]
    hit = np.stack([counts[:, one, one] for one in (0, 1)], axis=1)
    union = counts.sum(axis=1) + counts.sum(axis=2) - hit
    truths = (hit / union).mean(), (hit.sum(axis=1) / counts.sum(axis=(1, 2))).mean()
    for state, truth in zip(outcome.targets, truths, strict=True):
        assert state.low <= truth <= state.high
    whole = stl.evaluate(by_colour, streets(), work_dir=place, until=gates, **SEGMENTED).outcome
    assert [one.estimate for one in whole.targets] == pytest.approx(truths)


def test_scores_of_rankings_and_ious_of_a_class_are_refused(tmp_path):
    image, box = np.full((32, 32, 3), 90, np.uint8), np.array([[4.0, 4, 20, 20]])
    data = [(image, {"boxes": box, "labels": np.array([0])}) for _ in range(3)]

    def model(images):
        return [stl.Detections(box, np.ones(1), np.zeros(1, int)) for _ in images]

    asked = {**CHOSEN, "classes": ["a"], "version": "1", "work_dir": tmp_path / "x"}
    for name in ("contrast/1", "box_ap50:contrast/1", "class:a:contrast/1"):
        with pytest.raises(InputError, match="decided early: it is"):
            stl.evaluate(model, data, until=[f"{name} >= 0.5"], **asked)
    with pytest.raises(InputError, match="IoU of a class cannot be decided early: it is no mean"):
        stl.evaluate(by_colour, streets(), until=["class:a:contrast/1 >= 0.5"],
                     **SEGMENTED, work_dir=tmp_path / "y")  # fmt: skip
    with pytest.raises(InputError, match="a segmentation model gives none"):
        stl.evaluate(by_colour, streets(), until=["contrast/1 >= 0.5"], covariate="confidence",
                     **SEGMENTED, work_dir=tmp_path / "z")  # fmt: skip


def test_miou_is_decided_asymptotically_and_never_below_a_hundred(tmp_path):
    pytest.importorskip("pandas")
    data, model, chosen = streets(), by_colour, SEGMENTED
    gate = ["brightness/1 >= 0.5", "brightness/1 +- 3"]
    outcome = stl.evaluate(model, data, work_dir=tmp_path / "x", until=gate, **chosen).outcome
    assert outcome.verdict == "PASS"
    assert "asymptotically wrong" in outcome.headline
    assert 100 <= outcome.images < 180
    whole = stl.evaluate(model, data, work_dir=tmp_path / "x", **chosen).cells()
    truth = whole.set_index(["corruption", "severity"]).loc[("brightness", 1), "value"].item()
    assert outcome.targets[0].low <= truth <= outcome.targets[0].high
    stl.evaluate(model, data, work_dir=tmp_path / "y", **chosen)
    assert files_of(tmp_path / "x") == files_of(tmp_path / "y")
