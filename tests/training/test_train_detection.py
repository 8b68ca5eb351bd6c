"""A detector trained and tested through the tools, on the generated scenes."""

import json
import math
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.runner import Runner

from stl_backbones.cli.scores import NOTHING_FOUND, describe_scores
from stl_backbones.engine.safe_loaders import install_safe_loaders
from stl_backbones.errors import UserError
from stl_backbones.models import read_checkpoint
from stl_backbones.training.test import evaluate
from stl_backbones.training.train import train

SHORT = {
    "max_epochs": 1,
    "milestones": [1],
    "warmup_iters": 2,
    "val_interval": 1,
    "batch_size": 3,
    "num_workers": 0,
    "img_scale": (128, 64),
    "default_hooks.logger.interval": 1,
}
NAMES = {f"coco/{k}_mAP{s}" for k in ("bbox", "segm") for s in ("", "_50", "_75", "_s", "_m", "_l")}


@pytest.fixture(scope="module")
def config(repo_root):
    return repo_root / "configs/det/stl_fan_t_cascade_mask_rcnn_mini.py"


@pytest.fixture(scope="module")
def options(mini_data):
    return {"data_root": str(mini_data / "coco"), **SHORT}


@pytest.fixture(scope="module")
def trained(config, options, tmp_path_factory):
    return train(config, work_dir=tmp_path_factory.mktemp("train"), options=options)


@pytest.fixture(scope="module")
def scores(trained, config, options, tmp_path_factory):
    work_dir = tmp_path_factory.mktemp("test")
    return evaluate(config, trained / "epoch_1.pth", work_dir=work_dir, options=options)


@pytest.fixture
def copied(mini_data, options, tmp_path):
    """A data set to break, and the options that name it."""
    root = shutil.copytree(mini_data / "coco", tmp_path / "coco")
    return root, {**options, "data_root": str(root)}


def weights(path):
    install_safe_loaders()
    return read_checkpoint(path)["state_dict"]


def rewrite(root, split, change):
    path = root / f"annotations/instances_{split}2017.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_every_part_that_trains_has_moved(trained, config, options):
    from mmengine.registry import MODELS, init_default_scope

    from stl_backbones.config.reading import load_config

    after = weights(trained / "epoch_1.pth")
    init_default_scope("mmdet")
    model = MODELS.build(load_config(config, options=options).model)
    trainable = {name for name, p in model.named_parameters() if p.requires_grad}
    assert after.keys() == model.state_dict().keys()
    assert all(value.isfinite().all() for value in after.values())
    # Norms start at 1 and 0: after a step of AdamW none is where it was.
    norms = [name for name in trainable if "norm" in name and name.endswith("weight")]
    assert "backbone.out_norm3.weight" in norms
    assert [name for name in norms if (after[name] == 1).all()] == []


def test_training_writes_the_clean_scores_too(trained):
    (log,) = trained.glob("*/vis_data/scalars.json")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert lines[-1].keys() >= NAMES
    losses = [line["loss"] for line in lines if "loss" in line]
    assert len(losses) == 2  # six images in batches of three
    assert all(math.isfinite(loss) for loss in losses)


def test_scores_the_checkpoint_in_percent(scores):
    assert set(scores) == NAMES
    assert 0 <= scores["coco/bbox_mAP"] < 50
    assert math.isnan(scores["coco/bbox_mAP_l"])  # no object is that large in 128x64


@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")  # mmdet draws with NumPy 1
@pytest.mark.filterwarnings("ignore:Warning. The .* is out of bounds:UserWarning")
def test_detections_are_kept_as_openmmlab_does(trained, config, options, scores, tmp_path):
    """One record for each image, and a drawing; the scores are the same."""
    out, show = tmp_path / "found.pkl", tmp_path / "show"
    path = trained / "epoch_1.pth"
    kept = evaluate(config, path, work_dir=tmp_path, options=options, out=out, show_dir=show)
    assert kept == pytest.approx(scores, nan_ok=True)
    records = pickle.loads(out.read_bytes())
    assert [sorted(record["pred_instances"]) for record in records] == 4 * [
        ["bboxes", "labels", "masks", "scores"]
    ]
    assert {path.stem for path in show.glob("*.png")} == {
        Path(record["img_path"]).stem for record in records
    }
    with pytest.raises(UserError, match=r"predictions go into a .pkl file"):
        evaluate(config, path, work_dir=tmp_path, options=options, out=tmp_path / "folder")


def test_scores_in_bfloat16_nearly_the_same(trained, config, options, scores, tmp_path):
    path = trained / "epoch_1.pth"
    rounded = evaluate(config, path, work_dir=tmp_path, options=options, amp="bfloat16")
    assert rounded == pytest.approx(scores, abs=1.0, nan_ok=True)


def test_segmentation_after_detection_in_one_process(
    repo_root, mini_options, mini_checkpoint, scores, trained, config, options, tmp_path
):
    """The scope comes from each config, whatever ran before: detection, segmentation, detection."""
    segmented = evaluate(
        repo_root / "configs/seg/stl_fan_t_mini.py", mini_checkpoint,
        work_dir=tmp_path / "seg", options=mini_options,
    )  # fmt: skip
    assert set(segmented) == {"mIoU", "mAcc", "aAcc"}
    again = evaluate(config, trained / "epoch_1.pth", work_dir=tmp_path / "det", options=options)
    assert again == pytest.approx(scores, abs=1e-9, nan_ok=True)


def test_resume_goes_on_in_a_copied_folder(trained, config, options, tmp_path):
    """A finished run, whose checkpoint is of its last epoch, has nothing left to do."""
    copy = shutil.copytree(trained, tmp_path / "copy")
    (copy / "last_checkpoint").unlink()
    train(config, work_dir=copy, resume="auto", options=options)
    (log,) = set(copy.glob("*/*.log")) - {copy / path.relative_to(trained)
                                          for path in trained.glob("*/*.log")}  # fmt: skip
    assert "resumed epoch: 1, iter: 2" in log.read_text()


def test_resume_takes_no_other_schedule(trained, config, options, tmp_path):
    with pytest.raises(UserError, match=r"another training: .*train_cfg\.max_epochs 1 -> 2"):
        train(config, work_dir=tmp_path, resume=str(trained / "epoch_1.pth"),
              options={**options, "max_epochs": 2})  # fmt: skip


def test_mixed_precision_on_the_cpu(config, options, tmp_path, monkeypatch):
    """The pyramid is bfloat16, and what RoIAlign gets is float32."""
    from mmcv.ops import RoIAlign
    from mmdet.models.necks import FPN

    pyramid, rois = set(), set()
    plain_fpn, plain_align = FPN.forward, RoIAlign.forward

    def fpn(self, inputs):
        outputs = plain_fpn(self, inputs)
        if self.training:
            pyramid.update(x.dtype for x in outputs)
        return outputs

    def align(self, features, boxes):
        rois.update((features.dtype, boxes.dtype))
        return plain_align(self, features, boxes)

    monkeypatch.setattr(FPN, "forward", fpn)
    monkeypatch.setattr(RoIAlign, "forward", align)
    folder = train(config, work_dir=tmp_path, amp="bfloat16", options={**options, "with_cp": True})
    assert pyramid == {torch.bfloat16}
    assert rois == {torch.float32}
    values = weights(folder / "epoch_1.pth")
    assert {v.dtype for v in values.values() if v.is_floating_point()} == {torch.float32}
    assert all(value.isfinite().all() for value in values.values())


def test_images_with_nothing_but_a_crowd_train(config, copied, tmp_path):
    """No box to learn, no mask, and the loss is finite."""

    def only_crowds(content):
        for found in content["annotations"]:
            everything = {"size": [64, 128], "counts": [0, 64 * 128]}
            found.update(iscrowd=1, segmentation=everything)

    root, options = copied
    rewrite(root, "train", only_crowds)
    folder = train(config, work_dir=tmp_path / "out", options=options)
    assert all(value.isfinite().all() for value in weights(folder / "epoch_1.pth").values())


def test_an_image_without_objects_is_tested(trained, config, copied, tmp_path):
    def empty_the_first(content):
        content["annotations"] = [a for a in content["annotations"] if a["image_id"] != 1]

    root, options = copied
    rewrite(root, "val", empty_the_first)
    metrics = evaluate(config, trained / "epoch_1.pth", work_dir=tmp_path, options=options)
    assert set(metrics) == NAMES


def test_a_released_detectors_file_is_tested(trained, config, options, tmp_path, monkeypatch):
    """The backbone's names are of old, and the class token's norm is not there."""
    loaded = []
    plain_test = Runner.test

    def test(self):
        metrics = plain_test(self)
        loaded.append(self.model.state_dict())
        return metrics

    monkeypatch.setattr(Runner, "test", test)
    expected = weights(trained / "epoch_1.pth")
    renamed = {}
    for name, value in expected.items():
        if name.startswith("backbone.norm."):
            continue
        renamed[name.replace("backbone.pos_embed.", "backbone.pos_embeder.")] = value
    for block in ("backbone.cls_attn_blocks.0.attn", "backbone.cls_attn_blocks.1.attn"):
        for kind in ("weight", "bias"):
            parts = [renamed.pop(f"{block}.{part}.{kind}") for part in "qkv"]
            renamed[f"{block}.qkv.{kind}"] = torch.cat(parts)
    torch.save({"state_dict": renamed, "meta": {}}, tmp_path / "released.pth")
    evaluate(config, tmp_path / "released.pth", work_dir=tmp_path / "out", options=options)
    (model,) = loaded
    different = {name for name, value in model.items() if not torch.equal(value, expected[name])}
    assert not {name for name in different if not name.startswith("backbone.norm.")}


class TestRefusals:
    def test_another_number_of_classes(self, config, options, tmp_path):
        with pytest.raises(ValueError, match="the model has 80 classes, the data set 8"):
            train(config, work_dir=tmp_path, options={**options, "num_classes": 80})

    def test_a_checkpoint_of_another_architecture(self, trained, config, options, tmp_path):
        other = {**options, "model.neck.out_channels": 32}
        with pytest.raises(ValueError, match=r"does not fit the config's .*of another shape"):
            evaluate(config, trained / "epoch_1.pth", work_dir=tmp_path, options=other)

    def test_a_config_without_test_data(self, trained, repo_root, options, tmp_path):
        path = repo_root / "configs/det/stl_fan_t_cascade_mask_rcnn_mini.py"
        (tmp_path / "bare.py").write_text(
            f"_base_ = ['{path}']\ntest_dataloader = test_evaluator = test_cfg = None\n"
        )
        bare = {name: options[name] for name in ("val_interval",)}
        with pytest.raises(ValueError, match=r"the config has no test_dataloader"):
            evaluate(tmp_path / "bare.py", trained / "epoch_1.pth", work_dir=tmp_path, options=bare)

    def test_a_missing_data_root(self, config, options, tmp_path):
        with pytest.raises(FileNotFoundError, match="does not exist; give the data set's folder"):
            train(config, work_dir=tmp_path, options={**options, "data_root": "/nowhere"})

    def test_a_missing_test_image(self, trained, config, copied, tmp_path):
        root, options = copied
        (root / "val2017/000000000002.jpg").unlink()
        with pytest.raises(ValueError, match=r"image '.*0002\.jpg' does not exist \(1 of 4 images"):
            evaluate(config, trained / "epoch_1.pth", work_dir=tmp_path, options=options)
        metrics = evaluate(
            config, trained / "epoch_1.pth", work_dir=tmp_path, options=options, skip_broken=True
        )
        assert set(metrics) == NAMES


def test_tools_say_a_broken_file_in_one_line(config, copied, tmp_path, run_tool):
    def beside(content):
        content["annotations"][0]["bbox"] = [500, 10, 20, 20]

    root, options = copied
    rewrite(root, "train", beside)
    words = [f"{name}={str(value).replace(' ', '')}" for name, value in options.items()]
    done = run_tool("train.py", config, "--work-dir", tmp_path, "--cfg-options", *words)
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if "error" in line]
    assert "leaves the image of 128x64 (1 of 6 images are broken; --skip-broken goes on" in line
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("threshold", [0.0, 2.0])
def test_mmdets_own_metric_gives_a_line(trained, config, options, tmp_path, threshold):
    """Of tiny fractions, and where no box is sure enough to be a detection."""
    own = {
        "_delete_": True, "type": "CocoMetric", "_scope_": "mmdet", "metric": "bbox",
        "ann_file": f"{options['data_root']}/annotations/instances_val2017.json",
    }  # fmt: skip
    changes = {"test_evaluator": own, "model.test_cfg.rcnn.score_thr": threshold}
    metrics = evaluate(
        config, trained / "epoch_1.pth", work_dir=tmp_path, options={**options, **changes}
    )
    line = describe_scores(metrics)
    if threshold > 1:
        assert line == NOTHING_FOUND
    else:
        assert line.startswith("coco/bbox_mAP 0.0")
        assert len(line.split("  ")) == 6


def test_scores_have_one_format():
    found = describe_scores({"mIoU": 45.23, "coco/bbox_mAP": 0.003, "coco/bbox_mAP_l": math.nan})
    assert found == "mIoU 45.2300  coco/bbox_mAP 0.0030  coco/bbox_mAP_l n/a"


@pytest.mark.slow
def test_two_processes_train_and_the_test_tool_prints_ap(
    config, options, tmp_path, run_tool, torchrun
):
    words = [f"{name}={str(value).replace(' ', '')}" for name, value in options.items()]
    done = run_tool(
        "train.py", config, "--work-dir", tmp_path, "--cfg-options", *words, launch=torchrun
    )
    assert done.returncode == 0, done.stderr[-2000:]
    tested = run_tool(
        "test.py", config, tmp_path / "epoch_1.pth", "--work-dir", tmp_path, "--cfg-options", *words
    )
    assert tested.returncode == 0, tested.stderr[-2000:]
    assert "coco/bbox_mAP " in tested.stdout.splitlines()[-1]
    assert "coco/segm_mAP " in tested.stdout.splitlines()[-1]
