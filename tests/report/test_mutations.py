"""No change to a finished sweep's files passes for a result; the changes are the campaign's."""

import hashlib

import numpy as np
import pytest

from faults import mutations as campaign
from stl_backbones.corruptions.protocols import CUSTOM_PROTOCOLS, Protocol
from stl_backbones.metrics.calibration import CONFIDENCE_UNIT, NUM_BINS
from stl_backbones.results import CellStore
from stl_backbones.results.detections import DETECTIONS_DIGEST, detections_path

TINY = Protocol("tiny", {"weather": ("fog", "snow")}, "this test", {"fog": (1, 2), "snow": (1,)})
TASKS = ("segmentation", "classification", "detection")
KINDS = (
    "cell dropped", "cells swapped", "cell copied over another", "number edited",
    "cell's record edited", "run.json edited", "byte flipped", "file truncated",
    "cell of another run", "images of a cell", "impossible number", "file that is no cell",
    "detections edited", "sets mixed", "two folders that do not fit", "rows that differ",
)  # fmt: skip
SETS = {"imagenet-a": 5, "imagenet-a-clean": 18, "imagenet-r": 9}


@pytest.fixture
def sweeps(own_catalog, make_store, make_classified, make_detected):
    """A finished sweep of each task: clean, fog at two severities, snow at one."""
    CUSTOM_PROTOCOLS["tiny"] = TINY

    def make(task):
        fields = {"protocol": "tiny", "model": task}
        if task == "segmentation":
            return with_calibration(make_store(task, **fields))
        if task == "classification":
            return make_classified(task, cells="tiny", sets=SETS, **fields)
        return with_detections(make_detected(task, cells="tiny", **fields))

    return make


def with_calibration(folder):
    """Add the calibration of pixels: all in the last bin, of confidence 1."""
    store = CellStore(folder)
    for cell in store.cells():
        result = store.read(cell)
        confusions = result.samples["confusion_matrix"].astype(np.int64)
        binned = np.zeros((len(confusions), 3, NUM_BINS), np.int64)
        binned[:, 0, -1] = confusions.sum(axis=(1, 2))
        binned[:, 1, -1] = np.trace(confusions, axis1=1, axis2=2)
        binned[:, 2, -1] = binned[:, 0, -1] * CONFIDENCE_UNIT
        result.samples["pixel_calibration"] = binned
        store.write(result)
    return folder


def with_detections(folder):
    """Add what a detector's sweep keeps beside its cells."""
    store = CellStore(folder)
    for cell in store.cells():
        path, content = detections_path(folder, cell), f"those of {cell.name}".encode()
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        result = store.read(cell)
        digest = np.frombuffer(hashlib.sha256(content).digest(), np.uint8)
        result.samples[DETECTIONS_DIGEST] = digest
        store.write(result)
    return folder


def test_every_kind_is_tried():
    assert tuple(campaign.CATALOGUE) == KINDS


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("task", TASKS)
def test_every_change_is_noticed(sweeps, task, kind):
    sweep = campaign.Sweep(sweeps(task))
    mutations = list(campaign.CATALOGUE[kind](sweep))
    names = [mutation.name for mutation in mutations]
    assert len(set(names)) == len(names)
    assert [found for m in mutations if (found := campaign.try_mutation(m, sweep))] == []


def test_what_is_not_noticed_is_counted(sweeps, monkeypatch):
    """A change of nothing, and one that only the report refuses."""
    sweep = campaign.Sweep(sweeps("segmentation"))
    cell = sweep.cells[1]

    def negative(folder):
        result = CellStore(folder).read(cell)
        result.samples["confusion_matrix"][0, 0, 0] = -1
        campaign.put(folder, result)

    unnoticed = [
        campaign.Mutation("nothing", lambda folder: None, ("fog",)),
        campaign.of_cell("negative", negative, cell),
    ]
    got = [campaign.try_mutation(mutation, sweep) for mutation in unnoticed]
    assert got == ["nothing: reported without []", "negative: taken for finished: fog-1"]
    kinds = {"none": lambda _: unnoticed, "cell dropped": campaign.CATALOGUE["cell dropped"]}
    monkeypatch.setattr(campaign, "CATALOGUE", kinds)
    counted = list(campaign.count_mutations([sweep.folder], kinds))
    assert counted == [("none", 2, 0), ("cell dropped", 3, 3)]
