"""A label that is no class, in an image that nobody has looked at before."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.dataset import Compose
from PIL import Image

from stl_backbones.errors import InputError
from stl_backbones.training.sample_labels import check_every_sample
from stl_backbones.training.train import train

SHORT = {"max_iters": 40, "warmup_iters": 1, "val_interval": 40, "batch_size": 1}


def test_the_file_of_a_label_that_comes_late_is_named(repo_root, mini_options, tmp_path):
    """In a data set of mmseg's own, of more images than are looked at before."""
    bad = tmp_path / "gtFine/train/8_gtFine_labelTrainIds.png"
    for split in ("train", "val"):
        for number in range(20):
            labels = np.full((64, 128), number % 5, np.uint8)
            for folder, end in (("gtFine", "gtFine_labelTrainIds"), ("leftImg8bit", "leftImg8bit")):
                path = tmp_path / folder / split / f"{number}_{end}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                pixels = labels if folder == "gtFine" else np.stack([labels * 40] * 3, axis=-1)
                Image.fromarray(pixels).save(path)
    Image.fromarray(np.full((64, 128), 7, np.uint8)).save(bad)
    config = tmp_path / "own.py"
    steps = [{"type": "LoadImageFromFile"}, {"type": "LoadAnnotations"}, {"type": "PackSegInputs"}]
    data = {"type": "BaseSegDataset", "metainfo": {"classes": tuple("abcde")}, "pipeline": steps,
            "img_suffix": "_leftImg8bit.png",
            "seg_map_suffix": "_gtFine_labelTrainIds.png"}  # fmt: skip
    folders = [{"img_path": f"leftImg8bit/{s}", "seg_map_path": f"gtFine/{s}"} for s in
               ("train", "val")]  # fmt: skip
    config.write_text(
        f"_base_ = {str(repo_root / 'configs/seg/stl_fan_t_mini.py')!r}\n"
        "model = dict(decode_head=dict(num_classes=5))\n"
        f"data = {data}\nfolders = {folders}\nroot = {str(tmp_path)!r}\n"
        "train_dataloader = dict(dataset=dict(_delete_=True, data_root=root, "
        "data_prefix=folders[0], **data))\n"
        "val_dataloader = dict(dataset=dict(_delete_=True, data_root=root, "
        "data_prefix=folders[1], **data))\n"
    )
    options = {k: v for k, v in mini_options.items() if k == "num_workers"}
    with pytest.raises(
        InputError, match=rf"'{bad}' holds labels .* 0\.\.4 or \[255\] .* got \[7\]"
    ):
        train(config, work_dir=tmp_path / "run", options={**SHORT, **options,
              "model.data_preprocessor.size": (64, 128)})  # fmt: skip


def sample(**parts):
    return {"data_samples": SimpleNamespace(img_path="x.jpg", **parts)}


def checked(model):
    """What a data set's pipeline makes of a sample once it is checked."""
    dataset = SimpleNamespace(pipeline=Compose([]))
    check_every_sample(model, SimpleNamespace(dataset=dataset))  # inside a wrapper
    return dataset.pipeline


def test_objects_of_a_detector():
    check = checked(SimpleNamespace(bbox_head=SimpleNamespace(num_classes=3)))
    fine = sample(gt_instances=SimpleNamespace(labels=torch.tensor([0, 2])))
    assert check(fine) is fine
    assert check(sample(gt_instances=SimpleNamespace(labels=torch.zeros(0, dtype=torch.long))))
    wrong = sample(gt_instances=SimpleNamespace(labels=torch.tensor([0, 3])))
    with pytest.raises(InputError, match=r"'x.jpg' holds .* expected 0\.\.2, got \[3\]"):
        check(wrong)


@pytest.mark.parametrize(
    ("head", "wrong"),
    [({"num_classes": 3, "ignore_index": 9}, 4), ({"num_classes": 1, "out_channels": 1}, 2)],
    ids=["ignored", "binary"],
)
def test_pixels(head, wrong):
    check = checked(SimpleNamespace(decode_head=SimpleNamespace(**head)))
    fine = [0, 1, head.get("ignore_index", 255), 255]
    for labels in (fine, [*fine, wrong]):
        one = sample(gt_sem_seg=SimpleNamespace(data=torch.tensor([[labels]])))
        if labels == fine:
            assert check(one) is one
        else:
            with pytest.raises(InputError, match=rf"got \[{wrong}\]"):
                check(one)
