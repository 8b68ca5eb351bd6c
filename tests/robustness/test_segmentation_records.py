"""What a sweep keeps of a segmentation stays on the model's device until its block ends."""

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from stl_backbones.metrics import confusion_matrix
from stl_backbones.robustness.options import SweepOptions
from stl_backbones.robustness.tasks.segmentation import SegmentationSet


@pytest.fixture
def scored():
    made = object.__new__(SegmentationSet)  # without model and data, which are not asked
    made.keys, made.classes, made.ignore_index = ("a.png", "b.png", "c.png"), ("x", "y", "z"), 255
    made.scores_kind = "logits"
    return made


def sample(guess, label, device="cpu"):
    return SegDataSample(
        pred_sem_seg=PixelData(data=torch.as_tensor(guess, device=device)[None]),
        gt_sem_seg=PixelData(data=torch.as_tensor(label, device=device)[None]),
        seg_logits=PixelData(data=torch.as_tensor(scores_of(guess), device=device)),
    )


def scores_of(guess):
    """``(3, H, W)`` logits: the guess has 4, the others 1."""
    return 1 + 3 * np.eye(3, dtype=np.float32)[np.asarray(guess)].transpose(2, 0, 1)


def maps(seed):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 4, (5, 6))
    return rng.integers(0, 3, (5, 6)), np.where(label == 3, 255, label)


def test_a_block_comes_to_its_confusion_matrices(scored, monkeypatch):
    monkeypatch.setattr(scored, "_predict", lambda versions: (sample(*pair) for pair in versions))
    pairs = [maps(seed) for seed in (0, 1)]
    kept = scored.score_block(range(1, 3), pairs)
    assert isinstance(kept["confusion_matrix"], torch.Tensor)
    samples = scored.collect(range(1, 3), kept)
    found, binned = samples["confusion_matrix"], samples["pixel_calibration"]
    expected = [confusion_matrix(*pair, num_classes=3) for pair in pairs]
    assert (found == np.stack(expected)).all()
    sure = 13  # of 15 bins: 0.909 = e^3 / (e^3 + 2)
    assert binned[:, 0].sum(axis=1).tolist() == binned[:, 0, sure].tolist()
    assert binned[:, 0, sure].tolist() == found.sum(axis=(1, 2)).tolist()
    assert binned[:, 1, sure].tolist() == np.trace(found, axis1=1, axis2=2).tolist()


@pytest.mark.parametrize(
    ("guess", "tta", "kind"),
    [
        ([[2, 1], [0, 0]], False, "logits"),
        ([[2, 1], [0, 1]], False, None),  # not these scores' best classes
        ([[2, 1], [0, 0]], True, None),  # mmseg leaves those of the last view
    ],
)
def test_confidence_is_of_the_scores_that_chose_the_labels(scored, guess, tta, kind):
    scored.options = SweepOptions(task_options={"tta": tta})
    found = sample(guess, [[0, 0], [0, 0]])
    found.seg_logits.data = torch.as_tensor(scores_of([[2, 1], [0, 0]])) - 2
    assert scored._kind_of_scores(found) == kind


def test_nothing_waits_for_the_device(scored, monkeypatch):
    """A tensor without values cannot be waited for."""
    monkeypatch.setattr(
        scored, "_predict", lambda versions: (sample(*pair, device="meta") for pair in versions)
    )
    kept = scored.score_block(range(2), [maps(0), maps(1)])
    assert kept["confusion_matrix"].device.type == "meta"


def test_a_bad_label_is_refused_by_the_images_name(scored):
    records = [scored.record(image, sample([[0, 1]], [[0, label]]))
               for image, label in ((1, 2), (2, 7))]  # fmt: skip
    kept = {"confusion_matrix": torch.cat([record["confusion_matrix"] for record in records])}
    with pytest.raises(ValueError, match=r"'c\.png': label must hold classes 0\.\.2, got 0\.\.7"):
        scored.collect(range(1, 3), kept)


def test_a_label_map_of_another_size_is_refused_by_the_images_name(scored):
    with pytest.raises(ValueError, match=r"'b\.png': prediction and label must have one shape"):
        scored.record(1, sample([[0, 1]], [[0], [1]]))
