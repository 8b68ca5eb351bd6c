"""Sweeps of mmseg configs against mmseg's own test: the same pixels of the same labels counted."""

import contextlib
from dataclasses import replace

import numpy as np
import pytest
from harness import check, check_copy, check_test_tool, spying
from mmseg.evaluation import IoUMetric
from segmentation_cases import CASES

NAMES = ("intersection", "union", "predicted", "labelled")  # pixels of each class


@contextlib.contextmanager
def iou_counts():
    """Yield what `IoUMetric` counts."""
    found = {}

    def note(self, results):
        for name, counts in zip(NAMES, zip(*results, strict=True), strict=True):
            found[name] = sum(counts).numpy()

    with spying(IoUMetric, "compute_metrics", note):
        yield found


def areas(result):
    """The same of a cell."""
    table = result.samples["confusion_matrix"].astype(np.int64).sum(axis=0)
    both, predicted, labelled = np.diag(table), table.sum(axis=0), table.sum(axis=1)
    assert (predicted > 0).sum() >= 2  # else equality would prove little
    return dict(zip(NAMES, (both, predicted + labelled - both, predicted, labelled), strict=True))


@pytest.mark.filterwarnings("ignore")  # the libraries advise other settings
@pytest.mark.parametrize("name", CASES)
def test_the_same_pixels_are_counted(name, tmp_path):
    check(CASES[name], tmp_path, count=iou_counts, counted=areas)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name",
    [
        "slide", "augmented by the config", "label reader of colours", "masks of one class",
        "data set without a pipeline", "half precision in the test loop", "two data sets",
        "new style without default_scope",
    ],
)  # fmt: skip
def test_our_test_tool_counts_them_too(name, tmp_path):
    check_test_tool(CASES[name], tmp_path, count=iou_counts)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name",
    [
        "whole", "label reader of colours", "data set that renumbers what is packed",
        "image reader that gives RGB", "image reader that darkens",
        "image reader that gives fractions", "image reader of four channels",
    ],
)  # fmt: skip
def test_files_of_a_corrupted_copy_count_too(name, tmp_path):
    check_copy(CASES[name], tmp_path, count=iou_counts, counted=areas)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name",
    [
        "augmented by the config", "data set that renumbers what is packed",
        "loading in a KeyMapper", "JPEG by pillow", "in a ConcatDataset",
    ],
)  # fmt: skip
def test_workers_count_them_too(name, tmp_path):
    case = CASES[name]
    workers = replace(case, words=(*case.words, "--workers", "2"))
    check(workers, tmp_path, count=iou_counts, counted=areas)
