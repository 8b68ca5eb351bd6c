"""OpenMMLab's habits of test.py: ``--tta``, ``--out`` and ``--show-dir``."""

import numpy as np
import pytest
import torch
from mmengine.runner import Runner
from PIL import Image

from stl_backbones.errors import InputError
from stl_backbones.metrics import confusion_matrix, mean_iou
from stl_backbones.training.test import evaluate


@pytest.fixture(scope="module")
def test(repo_root, mini_checkpoint, mini_options):
    config = repo_root / "configs/seg/stl_fan_t_mini.py"

    def test(work_dir, **settings):
        return evaluate(
            config, mini_checkpoint, work_dir=work_dir, options=mini_options, **settings
        )

    return test


def test_the_label_maps_score_as_the_test_does(test, mini_data, tmp_path):
    scores = test(tmp_path, out=tmp_path / "out", show_dir=tmp_path / "show")
    truth = mini_data / "cityscapes/gtFine/val"
    images = sorted((mini_data / "cityscapes/leftImg8bit/val").rglob("*.png"))
    total = np.zeros((19, 19), np.int64)
    for image in images:
        name = image.relative_to(mini_data / "cityscapes/leftImg8bit/val")
        predicted = np.asarray(Image.open(tmp_path / "out" / name))
        label = str(truth / name).replace("_leftImg8bit", "_gtFine_labelTrainIds")
        total += confusion_matrix(predicted, np.asarray(Image.open(label)), num_classes=19)
        with Image.open(tmp_path / "show" / name) as drawn:
            assert drawn.size == (2 * 128, 64)  # truth beside prediction
    assert len(images) == 4
    assert 100 * mean_iou(total) == pytest.approx(scores["mIoU"], abs=1e-9)


@pytest.mark.filterwarnings("ignore:The shape of value will convert:UserWarning")
def test_augmented_it_scores_otherwise(test, tmp_path):
    """An untrained network sees another class in many a pixel of another size."""
    plain, augmented = test(tmp_path / "a"), test(tmp_path / "b", tta=True)
    assert plain.keys() == augmented.keys()
    assert plain != augmented


def test_what_cannot_be_kept_is_said_before_the_test(test, tmp_path):
    with pytest.raises(InputError, match=r"segmentation model's predictions go into a folder"):
        test(tmp_path, out="x.pkl")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file' is a file; expected a folder"):
        test(tmp_path, show_dir=tmp_path / "file")


def test_it_scores_without_tf32_whatever_the_runner_set(test, tmp_path, monkeypatch):
    """mmengine's runner has cuDNN time its algorithms, as the config says for training."""
    cudnn, seen, go = torch.backends.cudnn, [], Runner.test
    monkeypatch.setattr(cudnn, "benchmark", cudnn.benchmark)  # set back afterwards

    def watched(runner):
        seen.append((cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic))
        return go(runner)

    monkeypatch.setattr(Runner, "test", watched)
    test(tmp_path)
    assert seen == [(False, False, True)]


def test_tf32_without_a_gpu_is_refused(test, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="--tf32 needs a GPU"):
        test(tmp_path / "w", tf32=True)
    assert not (tmp_path / "w").exists()
