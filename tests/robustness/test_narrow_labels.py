"""Label maps go to the model in 8 bits, and arrive as they were packed."""

import pickle

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from stl_backbones.robustness.narrow_labels import NarrowSample


def sample(labels):
    return SegDataSample(gt_sem_seg=PixelData(data=labels), metainfo={"img_path": "a.png"})


def wide(*values):
    return torch.tensor(values, dtype=torch.int64).repeat(1, 64, 1)


LABELS = {
    "classes": (wide(0, 18, 255), True),
    "above a byte": (wide(0, 256), False),
    "below zero": (wide(-1, 3), False),
    "bytes already": (wide(1, 2).to(torch.uint8), False),
    "empty": (torch.zeros((1, 0, 3), dtype=torch.int64), False),
}


@pytest.mark.parametrize(("labels", "is_narrow"), LABELS.values(), ids=LABELS)
def test_labels_arrive_as_they_were(labels, is_narrow):
    image = torch.arange(6, dtype=torch.uint8).reshape(3, 1, 2)
    narrow = NarrowSample.of({"inputs": image, "data_samples": sample(labels.clone())})
    sent = pickle.loads(pickle.dumps(narrow))
    assert (sent.sample["data_samples"].gt_sem_seg.data.dtype == torch.uint8) == (
        is_narrow or labels.dtype == torch.uint8
    )
    puts = []
    made = sent.sent(lambda tensor: puts.append(tensor.dtype) or tensor)
    found = made["data_samples"].gt_sem_seg.data
    assert found.dtype == labels.dtype
    assert torch.equal(found, labels)
    assert torch.equal(made["inputs"], image)
    assert made["data_samples"].metainfo["img_path"] == "a.png"
    assert puts == [torch.uint8] * (1 + is_narrow)


def test_so_do_those_of_test_time_augmentation():
    views = [sample(wide(0, 7)), sample(wide(7, 300))]
    narrow = NarrowSample.of({"inputs": [torch.zeros(3), torch.ones(3)], "data_samples": views})
    assert len(narrow.narrowed) == 1
    made = narrow.sent(lambda tensor: tensor)
    assert torch.equal(made["data_samples"][0].gt_sem_seg.data, wide(0, 7))
    assert torch.equal(made["data_samples"][1].gt_sem_seg.data, wide(7, 300))
    assert [int(view.sum()) for view in made["inputs"]] == [0, 3]


def test_samples_without_label_maps_pass():
    given = {"inputs": torch.ones(2), "data_samples": SegDataSample()}
    assert torch.equal(NarrowSample.of(given).sent(lambda t: t)["inputs"], torch.ones(2))
