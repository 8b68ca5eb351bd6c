"""A packaged config of mmseg, trained and tested: data root, crop size, half a train loop."""

import pytest

from stl_backbones.errors import UserError
from stl_backbones.training.test import evaluate
from stl_backbones.training.train import train

CONFIG = "mmseg::fastscnn/fast_scnn_8xb4-160k_cityscapes-512x1024.py"
WORKERS = {f"{split}_dataloader.num_workers": 0 for split in ("train", "val", "test")}


@pytest.fixture(scope="module")
def trained(mini_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("foreign")
    options = {
        **WORKERS,
        "crop_size": (64, 64),
        "train_dataloader.dataset.pipeline.2.scale": (128, 64),
        "train_dataloader.batch_size": 2,
        "train_cfg.max_iters": 1,
        "train_cfg.val_interval": 10,
        "default_hooks.checkpoint.interval": 1,
    }
    return train(CONFIG, work_dir=folder, options=options, data_root=mini_data / "cityscapes")


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::ResourceWarning")
class TestFastSCNN:
    def test_trains_and_is_tested_where_its_data_lie(self, trained, mini_data, tmp_path):
        options = {**WORKERS, "test_dataloader.dataset.pipeline.1.scale": (128, 64)}
        scores = [
            evaluate(CONFIG, trained / "iter_1.pth", work_dir=tmp_path, **settings)
            for settings in (
                {"options": options, "data_root": mini_data / "cityscapes"},
                {"options": {**options, "data_root": str(mini_data / "cityscapes")}},
            )
        ]
        assert scores[0] == scores[1]
        assert 0 <= scores[0]["mIoU"] <= 100

    def test_half_a_train_loop_is_no_matter_to_a_test(self, trained, mini_data, tmp_path):
        config = tmp_path / "own.py"
        config.write_text(
            f"_base_ = '{CONFIG}'\ntrain_cfg = None\nval_evaluator = None\n"
            "train_dataloader = dict(batch_size='many')\n"
        )
        scores = evaluate(
            config, trained / "iter_1.pth", work_dir=tmp_path / "run", options=dict(WORKERS),
            data_root=mini_data / "cityscapes",
        )  # fmt: skip
        assert set(scores) == {"aAcc", "mIoU", "mAcc"}

    def test_broken_images_cannot_be_left_out(self, mini_data, tmp_path):
        message = "--skip-broken: CityscapesDataset cannot leave out images"
        with pytest.raises(UserError, match=message):
            train(CONFIG, work_dir=tmp_path, data_root=mini_data / "cityscapes", skip_broken=True)

    def test_an_empty_data_set_says_where_it_looked(self, trained, mini_data, tmp_path):
        options = {**WORKERS, "test_dataloader.dataset.img_suffix": "_none.png"}
        message = r"no '\*_none\.png' file in '.*leftImg8bit/val', where lie: 4 \.png"
        with pytest.raises(UserError, match=message):
            evaluate(CONFIG, trained / "iter_1.pth", work_dir=tmp_path, options=options,
                     data_root=mini_data / "cityscapes")  # fmt: skip

    def test_classes_that_are_not_the_heads(self, trained, mini_data, tmp_path):
        options = {**WORKERS, "test_dataloader.dataset.metainfo.classes": ("road", "car")}
        message = r"the model has 19 classes \(decode_head\), the data set 2: road, car"
        with pytest.raises(UserError, match=message):
            evaluate(CONFIG, trained / "iter_1.pth", work_dir=tmp_path, options=options,
                     data_root=mini_data / "cityscapes")  # fmt: skip
