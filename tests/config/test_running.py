"""Whose fault it is that something of a config fails while it runs."""

import pytest
from mmcv.transforms import Compose
from mmengine.registry import init_default_scope
from PIL import Image

from stl_backbones.config.reading import running
from stl_backbones.datasets.cityscapes import CheckedCityscapesDataset
from stl_backbones.datasets.transforms import CheckSegMap
from stl_backbones.errors import InputError


def test_a_librarys_part_is_named(tmp_path):
    """A step for boxes in the pipeline of a data set of ours, whose items have none."""
    init_default_scope("mmseg")
    image = Image.new("L", (8, 8))
    image.save(tmp_path / "1_leftImg8bit.png")
    image.save(tmp_path / "1_gtFine_labelTrainIds.png")
    data = CheckedCityscapesDataset(
        data_root=str(tmp_path), pipeline=[{"type": "mmcv.LoadAnnotations", "with_bbox": True}]
    )
    message = r"^the test failed in mmcv: KeyError: 'instances'; is it a fault of the config or"
    with pytest.raises(InputError, match=message), running("the test"):
        data[0]


def test_what_our_own_line_is_nearest_to_stays_a_bug():
    with pytest.raises(KeyError, match="gt_seg_map"), running("the test"):
        Compose([CheckSegMap(num_classes=3)])({})


def test_what_a_step_of_the_users_raises_stays_theirs(tmp_path, monkeypatch):
    (tmp_path / "own_step_of_a_test.py").write_text("def step(results):\n    return 1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    import own_step_of_a_test

    with pytest.raises(ZeroDivisionError), running("the test"):
        Compose([own_step_of_a_test.step])({})


@pytest.mark.parametrize("error", [InputError("wrong"), OSError(28, "disk full"), EOFError()])
def test_what_says_it_already_passes(error):
    with pytest.raises(type(error)) as raised, running("the test"):
        raise error
    assert raised.value is error
