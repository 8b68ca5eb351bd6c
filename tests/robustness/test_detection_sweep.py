"""The sweep of a detector against pycocotools, interrupted, and refused.

The detector knows the objects, and misses them by as much as its image is bright: what it finds in
a corrupted image can be computed without it.
"""

import contextlib
import gzip
import io
import json
import multiprocessing
import shutil

import cv2
import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from stl_backbones.copies.request import GenerateOptions, make_copy, plan_copy
from stl_backbones.corruptions import corrupt
from stl_backbones.records import CLEAN, Cell
from stl_backbones.results import CellStore
from stl_backbones.results.detections import detections_path
from stl_backbones.robustness.options import SweepOptions
from stl_backbones.robustness.sources.config import ConfigSource
from stl_backbones.robustness.sweep import sweep

CHOSEN = {"corruptions": ["brightness", "impulse_noise"], "severities": [5]}
CELLS = (CLEAN, Cell("brightness", 5), Cell("impulse_noise", 5))

CONFIG = """
_base_ = ["{base}"]
custom_imports = dict(imports=["bright_detector", "stl_backbones.transfer.coco_metric"])
model = dict(_delete_=True, type="BrightDetector", ann_file="{ann_file}", num_classes=8)
"""
DETECTOR = '''
"""A detector that knows the objects and misses them by as much as its image is bright."""

import numpy as np
import torch
from mmdet.models.detectors import BaseDetector
from mmdet.structures import DetDataSample
from mmengine.registry import MODELS
from mmengine.structures import InstanceData
from pycocotools.coco import COCO


@MODELS.register_module()
class BrightDetector(BaseDetector):
    def __init__(self, ann_file, num_classes, with_masks=True, wrong_label=0):
        super().__init__(data_preprocessor=dict(type="DetDataPreprocessor"))
        self.truth, self.with_masks, self.wrong_label = COCO(ann_file), with_masks, wrong_label
        self.bbox_head = torch.nn.Linear(1, 1)
        self.bbox_head.num_classes = num_classes
        self.labels = {c: i for i, c in enumerate(sorted(self.truth.cats))}

    def predict(self, inputs, samples, rescale=True):
        for image, sample in zip(inputs, samples):
            found = self.truth.imgToAnns[sample.img_id]
            shift = float(image.mean()) / 32 * self.bbox_head.weight.item()
            height, width = sample.ori_shape
            instances = InstanceData()
            corners = [(x + shift, y, x + w + shift, y + h)
                       for x, y, w, h in (a["bbox"] for a in found)]
            instances.bboxes = torch.tensor(corners).reshape(-1, 4)
            instances.scores = torch.tensor([1 / (2 + a["id"] % 7) for a in found])
            instances.labels = torch.tensor(
                [self.labels[a["category_id"]] + self.wrong_label for a in found], dtype=torch.long
            )
            if self.with_masks:
                masks = [np.roll(self.truth.annToMask(a), int(shift), 1) for a in found]
                instances.masks = torch.tensor(
                    np.array(masks).reshape(-1, height, width), dtype=torch.bool
                )
            sample.pred_instances = instances
        return samples

    def loss(self, *args): ...
    def extract_feat(self, *args): ...
    def _forward(self, *args): ...
'''


@pytest.fixture(scope="module")
def data(mini_data, tmp_path_factory):
    """Scenes of 128x64; one of them without objects, one object a crowd."""
    root = shutil.copytree(mini_data / "coco", tmp_path_factory.mktemp("data") / "coco")
    path = root / "annotations/instances_val2017.json"
    content = json.loads(path.read_text())
    empty = content["images"][1]["id"]
    kept = [found for found in content["annotations"] if found["image_id"] != empty]
    kept[0]["iscrowd"] = 1
    path.write_text(json.dumps({**content, "annotations": kept}))
    return root


@pytest.fixture(scope="module")
def config(repo_root, data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("config")
    (folder / "bright_detector.py").write_text(DETECTOR)
    path = folder / "bright.py"
    base = repo_root / "configs/det/stl_fan_t_cascade_mask_rcnn_mini.py"
    ann_file = data / "annotations/instances_val2017.json"
    path.write_text(CONFIG.format(base=base, ann_file=ann_file))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield path


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "bright.pth"
    weights = {"bbox_head.weight": torch.tensor([[0.7]]), "bbox_head.bias": torch.zeros(1)}
    torch.save({"state_dict": weights, "meta": {}}, path)
    return path


@pytest.fixture(scope="module")
def run_sweep(config, checkpoint, data):
    def run(work_dir, *, options=(), progress=None, **chosen):
        settings = {"data_root": str(data), "img_scale": (128, 64), "num_workers": 0}
        with contextlib.redirect_stdout(io.StringIO()):  # the detector's COCO prints
            return sweep(
                ConfigSource(config, checkpoint, options={**settings, **dict(options)}),
                work_dir=work_dir,
                options=SweepOptions(**{**CHOSEN, "workers": 0, **chosen}),
                on_progress=progress,
            )

    return run


@pytest.fixture(scope="module")
def swept(run_sweep, tmp_path_factory):
    return run_sweep(tmp_path_factory.mktemp("sweep") / "undisturbed")


@pytest.fixture(scope="module")
def truth(data):
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(data / "annotations/instances_val2017.json"))


def folder_bytes(folder):
    return {
        path.relative_to(folder): path.read_bytes()
        for part in ("cells", "detections")
        for path in sorted((folder / part).iterdir())
    }


def read_detections(folder, cell):
    with gzip.open(detections_path(folder, cell)) as file:
        return json.load(file)


def average_precision(truth, found, kind):
    """pycocotools on the whole data set: AP, AP50, AP75, and by area."""
    found = [dict(one) for one in found]
    if kind == "segm":
        for one in found:
            del one["bbox"]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(truth, truth.loadRes(found), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats[:6]


def expected_detections(truth, data, image, cell):
    """What the detector must find, computed without it."""
    pixels = cv2.imread(str(data / "val2017" / image["file_name"]))
    if not cell.is_clean:
        rgb = np.ascontiguousarray(pixels[..., ::-1])
        key = image["file_name"]
        pixels = corrupt(rgb, cell.corruption, cell.severity, key=key, mode="exact")
    shift = pixels.astype(np.float64).mean() / 32 * 0.7
    return [
        {
            "image_id": image["id"],
            "category_id": found["category_id"],
            "bbox": [found["bbox"][0] + shift, *found["bbox"][1:]],
            "score": 1 / (2 + found["id"] % 7),
            "mask": np.roll(truth.annToMask(found), int(shift), 1),
        }
        for found in truth.imgToAnns[image["id"]]
    ]


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_detections_are_kept_in_cocos_format(cell, swept, truth, data):
    found = read_detections(swept, cell)
    expected = [
        one
        for image in truth.dataset["images"]
        for one in expected_detections(truth, data, image, cell)
    ]
    assert len(found) == len(expected) > 10
    for mine, theirs in zip(found, expected, strict=True):
        assert (mine["image_id"], mine["category_id"]) == (
            theirs["image_id"],
            theirs["category_id"],
        )
        assert mine["bbox"] == pytest.approx(theirs["bbox"], abs=1e-3)
        assert mine["score"] == pytest.approx(theirs["score"], abs=1e-7)
        assert (coco_mask.decode(mine["segmentation"]) == theirs["mask"]).all()


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_scores_are_those_of_pycocotools(cell, swept, truth):
    from stl_backbones.report.tasks import get_task

    result = CellStore(swept).read(cell)
    scores = (
        get_task("detection").score_cell(result, np.empty((0, len(result.image_ids)))).replicates
    )
    found = read_detections(swept, cell)
    for kind, name in (("bbox", "box"), ("segm", "mask")):
        expected = average_precision(truth, found, kind)
        assert 0.02 < expected[0] < 0.98  # else the comparison would prove little
        keys = [f"{name}_ap{suffix}" for suffix in ("", "50", "75", "_small", "_medium", "_large")]
        mine = [float(scores[key][0]) for key in keys]
        assert mine == pytest.approx(
            [np.nan if value < 0 else value for value in expected], abs=1e-12, nan_ok=True
        )


def test_corruption_makes_it_worse(swept, truth):
    clean, bright = (
        average_precision(truth, read_detections(swept, cell), "bbox")[0] for cell in CELLS[:2]
    )
    assert bright < clean - 0.05


def test_what_is_recorded(swept):
    got = CellStore(swept).provenance()
    assert (got.task, got.protocol) == ("detection", "coco-c")
    assert got.dataset == "coco (CocoDataset)"
    assert got.inference == "boxes and masks"
    assert got.classes[0] == "person"
    assert (got.num_images, got.parameters) == (4, 2)


def test_a_config_scores_coco_o_as_its_own_data(swept, run_sweep, data, tmp_path):
    """The images of val as a domain of COCO-O give the very records of val."""
    domain = tmp_path / "sketch"
    (domain / "annotations").mkdir(parents=True)
    (domain / "val2017").symlink_to(data / "val2017")
    file = "annotations/instances_val2017.json"
    shutil.copy(data / file, domain / file)
    own = {"sets": [f"coco-o-sketch={tmp_path}"], "allow_missing": True}
    folder = run_sweep(tmp_path / "x", corruptions=(), severities=None, task_options=own)
    found, whole = CellStore(folder / "coco-o-sketch").read(CLEAN), CellStore(swept).read(CLEAN)
    assert found.provenance.num_images_total == 707
    assert found.samples.keys() == whole.samples.keys()
    assert all(np.array_equal(found.samples[name], whole.samples[name]) for name in found.samples)


def test_interrupted_and_resumed_gives_the_same_files(swept, run_sweep, tmp_path):
    def stop(progress):
        if progress.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_sweep(tmp_path / "x", progress=stop)
    seen = []
    run_sweep(tmp_path / "x", progress=seen.append)
    assert [progress.done for progress in seen] == [2, 3, 4]
    assert seen[-1].metric == "detections an image"
    assert folder_bytes(tmp_path / "x") == folder_bytes(swept)


@pytest.mark.parametrize("damage", ["lost", "altered", "cell lost"])
def test_a_cell_without_its_detections_is_measured_again(swept, run_sweep, tmp_path, damage):
    copy = shutil.copytree(swept, tmp_path / "copy")
    path = detections_path(copy, CELLS[1])
    if damage == "cell lost":
        (copy / f"cells/{CELLS[1].name}.npz").unlink()
    elif damage == "lost":
        path.unlink()
    else:
        path.write_bytes(gzip.compress(b"[]"))
    run_sweep(copy)
    assert folder_bytes(copy) == folder_bytes(swept)


def test_batches_and_workers_change_nothing(swept, run_sweep, tmp_path):
    made = run_sweep(tmp_path / "x", batch_size=3, workers=2)
    assert folder_bytes(made) == folder_bytes(swept)


def test_a_corrupted_copy_scores_like_on_the_fly(swept, run_sweep, data, tmp_path):
    options = GenerateOptions("coco", format="png", **CHOSEN)
    make_copy(plan_copy(data, tmp_path / "copy", options), tmp_path / "copy")
    made = run_sweep(tmp_path / "x", corrupted_root=tmp_path / "copy")
    for cell in CELLS:
        assert read_detections(made, cell) == read_detections(swept, cell)
    assert CellStore(made).provenance().corruption_source.startswith("folder:copy (png")


def test_boxes_alone(run_sweep, tmp_path, swept):
    folder = run_sweep(
        tmp_path / "x",
        options={"test_evaluator.metric": "bbox", "model.with_masks": False},
        severities=[5],
    )
    store = CellStore(folder)
    samples = store.read(CLEAN).samples
    assert not [name for name in samples if name.startswith("segm")]
    expected = CellStore(swept).read(CLEAN).samples
    assert (samples["bbox_matched"] == expected["bbox_matched"]).all()
    assert "segmentation" not in read_detections(folder, CLEAN)[0]
    assert store.provenance().inference == "boxes"


@pytest.fixture(scope="module")
def real_config(repo_root):
    return repo_root / "configs/det/stl_fan_t_cascade_mask_rcnn_mini.py"


def test_bfloat16_is_for_backbone_and_neck(real_config, data, tmp_path):
    """And only there: mmcv has no NMS in bfloat16, so a whole network would fail."""
    from mmengine.registry import MODELS, init_default_scope

    from stl_backbones.config.reading import load_config

    options = {"data_root": str(data), "img_scale": (128, 64), "num_workers": 0}
    init_default_scope("mmdet")
    torch.manual_seed(0)
    model = MODELS.build(load_config(real_config, options=options).model)
    torch.save({"state_dict": model.state_dict()}, tmp_path / "random.pth")
    chosen = {"corruptions": ["fog"], "severities": [1], "limit": 2, "workers": 0}
    stores = [
        CellStore(
            sweep(
                ConfigSource(real_config, tmp_path / "random.pth", options=options),
                work_dir=tmp_path / f"amp {amp}",
                options=SweepOptions(amp=amp, **chosen),
            )
        )
        for amp in (None, "bfloat16")
    ]
    assert [store.provenance().inference for store in stores] == [
        "boxes and masks",
        "boxes and masks, bfloat16",
    ]
    full, half = (store.read(CLEAN).samples["bbox_score"] for store in stores)
    assert len(full) > 10
    assert half.max() == pytest.approx(full.max(), abs=0.05)
    assert len(half) != len(full) or (half != full).any()  # else bfloat16 was not used


def test_a_killed_record_process_loses_nothing(swept, run_sweep, tmp_path):
    def kill(progress):
        if progress.done == 1:
            for process in multiprocessing.active_children():
                if process.name.startswith("records"):
                    process.kill()

    with pytest.raises(ChildProcessError, match=r"makes records of predictions was killed"):
        run_sweep(tmp_path / "x", progress=kill, workers=1)
    run_sweep(tmp_path / "x", workers=1)
    assert folder_bytes(tmp_path / "x") == folder_bytes(swept)


class TestRefusals:
    def test_in_another_process_too(self, run_sweep, tmp_path):
        with pytest.raises(ValueError, match=r"^'\w+\.jpg': the model predicts labels 8\.\.\d+, "):
            run_sweep(tmp_path / "x", options={"model.wrong_label": 8}, workers=1)

    def test_no_masks_where_they_are_asked_for(self, run_sweep, tmp_path):
        with pytest.raises(ValueError, match="returns no masks, but the config's test_evaluator"):
            run_sweep(tmp_path / "x", options={"model.with_masks": False})

    def test_labels_that_are_no_class(self, run_sweep, tmp_path):
        with pytest.raises(ValueError, match=r"predicts labels .*, the data set has 8 classes"):
            run_sweep(tmp_path / "x", options={"model.wrong_label": 8})

    def test_a_model_of_other_classes(self, run_sweep, tmp_path):
        with pytest.raises(
            ValueError, match=r"the model has 80 classes \(bbox_head\), the data set 8: person"
        ):
            run_sweep(tmp_path / "x", options={"model.num_classes": 80})
        assert not (tmp_path / "x").exists()

    def test_no_test_data(self, run_sweep, tmp_path):
        with pytest.raises(ValueError, match="has no test_dataloader, so nothing to score"):
            run_sweep(tmp_path / "x", options={"test_dataloader.dataset": None})

    def test_an_image_is_missing(self, run_sweep, data, tmp_path):
        root = shutil.copytree(data, tmp_path / "broken")
        min((root / "val2017").iterdir()).unlink()
        with pytest.raises(ValueError, match=r"does not exist \(1 of 4 images are broken; --skip"):
            run_sweep(tmp_path / "x", options={"data_root": str(root)})
        store = CellStore(
            run_sweep(tmp_path / "y", options={"data_root": str(root)}, skip_broken=True)
        )
        got = store.provenance()
        assert (got.num_images, got.num_images_total, len(got.skipped)) == (3, 4, 1)

    def test_no_metric_of_ours(self, run_sweep, tmp_path):
        with pytest.raises(ValueError, match=r"metric must be taken from .*, got \['proposal'\]"):
            run_sweep(tmp_path / "x", options={"test_evaluator.metric": ["proposal"]})
