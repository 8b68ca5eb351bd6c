"""Models of mmseg's and mmdet's own configs through the sweep, against the libraries' inference."""

from __future__ import annotations

import gzip
import json
import pickle

import cv2
import mmseg.apis
import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from stl_backbones.config.reading import load_config
from stl_backbones.corruptions import corrupt
from stl_backbones.metrics import mean_iou
from stl_backbones.records import CLEAN, Cell
from stl_backbones.results import CellStore
from stl_backbones.results.detections import detections_path
from stl_backbones.robustness.options import SweepOptions
from stl_backbones.robustness.sources.config import ConfigSource
from stl_backbones.robustness.sweep import sweep

NOISE = Cell("gaussian_noise", 3)
QUICK = ("segformer-b0", "icnet-r50", "mask-rcnn-r50")
SLOW = (
    "deeplabv3plus-r50", "pspnet-r50", "fcn-r50", "setr-l-mla", "swin-t-upernet",
    "convnext-t-upernet", "cascade-mask-rcnn-r50", "retinanet-r50", "detr-r50",
    "deformable-detr-r50", "mask-rcnn-swin-t", "mask-rcnn-convnext-t",
    "cascade-mask-rcnn-convnext-t",
)  # fmt: skip

# What the libraries warn of when they build their own configs.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def external(repo_root):
    """benchmarks/external_models.py, which builds and sweeps the same list."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(repo_root / "benchmarks")
        import external_models
    return external_models


@pytest.fixture(scope="module")
def data(external, tmp_path_factory):
    folder = tmp_path_factory.mktemp("external") / "data"
    external.write_data(folder)
    return folder


@pytest.fixture
def run(external, data, tmp_path):
    """Build a case with random weights and sweep it; returns checkpoint, options and cells."""

    def run(name, *, options=(), small=True, **chosen):
        case = external.CASES[name]
        changes = {**external.case_options(case, data), **dict(options)}
        if not small:
            del changes["test_dataloader.dataset.pipeline.1.scale"]
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        checkpoint = folder / "random.pth"
        external.write_checkpoint(case, changes, checkpoint)
        sweep(
            ConfigSource(case.config, checkpoint, options=changes),
            work_dir=folder / "sweep",
            options=SweepOptions(**{**external.CELLS, "workers": 0, **chosen}),
        )
        return load_config(case.config, options=changes), checkpoint, CellStore(folder / "sweep")

    return run


def images_of(store, folder):
    """Each image's versions, corrupted without the sweep's code: key -> cell -> BGR."""
    mode = store.provenance().corruption_mode
    for key in store.read(CLEAN).image_ids:
        clean = cv2.imread(str(folder / key))
        rgb = np.ascontiguousarray(clean[..., ::-1])
        noisy = corrupt(rgb, NOISE.corruption, NOISE.severity, key=key, mode=mode)
        yield key, {CLEAN: clean, NOISE: np.ascontiguousarray(noisy[..., ::-1])}


def check_segmentation(config, checkpoint, store, data, case):
    """Each image's confusion matrix is that of mmseg's own prediction."""
    config.test_pipeline = config.test_dataloader.dataset.pipeline  # what its inference reads
    model = mmseg.apis.init_model(config, str(checkpoint), device="cpu")
    classes = len(store.provenance().classes)
    prefix = config.test_dataloader.dataset.data_prefix
    for index, (key, versions) in enumerate(images_of(store, data / case.data / prefix.img_path)):
        stem = data / case.data / prefix.seg_map_path / key
        if case.data == "ade":
            raw = cv2.imread(str(stem.with_suffix(".png")), cv2.IMREAD_UNCHANGED)
            label = raw - np.uint8(1)  # 0 is no class, and becomes 255
        else:
            name = stem.name.replace("_leftImg8bit", "_gtFine_labelTrainIds")
            label = cv2.imread(str(stem.with_name(name)), cv2.IMREAD_UNCHANGED)
        for cell, image in versions.items():
            guess = mmseg.apis.inference_model(model, image).pred_sem_seg.data[0].numpy()
            table = np.zeros((classes, classes), np.int64)
            keep = label != 255
            np.add.at(table, (label[keep], guess[keep]), 1)
            found = store.read(cell).samples["confusion_matrix"][index]
            np.testing.assert_array_equal(found, table)


def check_detection(config, checkpoint, store, data, case):
    """Each image's detections are those of mmdet's own prediction."""
    import mmdet.apis  # warns of packages that it could use

    model = mmdet.apis.init_detector(config, str(checkpoint), device="cpu", palette="random")
    prefix = config.test_dataloader.dataset.data_prefix.img
    kept = {cell: read_detections(store, cell) for cell in (CLEAN, NOISE)}
    numbers = image_numbers(data)
    for key, versions in images_of(store, data / case.data / prefix):
        for cell, image in versions.items():
            expected = mmdet.apis.inference_detector(model, image).pred_instances
            own = [entry for entry in kept[cell] if entry["image_id"] == numbers[key]]
            check_boxes(own, expected)


def check_boxes(own, expected):
    scores = [entry["score"] for entry in own]
    np.testing.assert_allclose(np.sort(scores), np.sort(expected.scores), atol=1e-4)
    corners = np.array([entry["bbox"] for entry in own]).reshape(-1, 4)
    corners[:, 2:] += corners[:, :2]  # COCO's [x, y, width, height]
    order, other = (
        np.lexsort((corners[:, 0], scores)),
        np.lexsort((expected.bboxes[:, 0], expected.scores)),
    )
    close = np.abs(corners[order] - expected.bboxes.numpy()[other]).max(axis=1) < 0.05
    assert close.mean() > 0.9  # equal scores may change places


def read_detections(store, cell):
    with gzip.open(detections_path(store.folder, cell), "rt") as file:
        return json.load(file)


def image_numbers(data):
    path = next((data / "coco/annotations").glob("*val*.json"))
    return {entry["file_name"]: entry["id"] for entry in json.loads(path.read_text())["images"]}


@pytest.mark.parametrize(
    "name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]
)
def test_cells_are_the_librarys_own_predictions(name, external, run, data):
    config, checkpoint, store = run(name)
    case = external.CASES[name]
    assert set(store.cells()) == {CLEAN, NOISE}
    check = check_detection if case.data == "coco" else check_segmentation
    check(config, checkpoint, store, data, case)
    if case.data != "coco":  # else the comparison would prove little
        tables = [store.read(cell).samples["confusion_matrix"] for cell in (CLEAN, NOISE)]
        assert (tables[0] != tables[1]).any()


def test_every_case_is_tested(external):
    assert {*QUICK, *SLOW} == set(external.CASES)


def library_test(config, checkpoint, tmp_path, *, tta):
    """mmengine's runner on the config, as the libraries' tools/test.py sets it up."""
    config.load_from, config.work_dir = str(checkpoint), str(tmp_path / "library")
    config.test_dataloader.update(num_workers=0, persistent_workers=False)
    if tta:
        config.test_dataloader.dataset.pipeline = config.tta_pipeline
        config.model = ConfigDict(**config.tta_model, module=config.model)
    with DefaultScope.overwrite_default_scope(config.default_scope):
        return Runner.from_cfg(config).test()


def test_segmentation_with_test_time_augmentation(run, tmp_path, external):
    """Six sizes, each mirrored too."""
    whole = {"model.test_cfg.mode": "whole"}
    config, checkpoint, store = run("segformer-b0", options=whole, task_options={"tta": True})
    config.test_evaluator.pop("prefix", None)
    table = store.read(CLEAN).samples["confusion_matrix"].sum(axis=0)
    expected = library_test(config, checkpoint, tmp_path, tta=True)["mIoU"]
    assert expected > 0
    assert 100 * mean_iou(table) == pytest.approx(expected, abs=0.006)  # mmseg rounds to .01


@pytest.mark.slow
def test_detection_with_test_time_augmentation(run, tmp_path, data):
    """Three sizes, each mirrored too: the pipeline that RetinaNet's folder has for it."""
    views = [
        {"type": "Resize", "scale": (width, width // 2), "keep_ratio": True} for width in (96, 128)
    ]
    flips = [{"type": "RandomFlip", "prob": 1.0}, {"type": "RandomFlip", "prob": 0.0}]
    pack = {"type": "PackDetInputs"}
    pipeline = [
        {"type": "LoadImageFromFile"},
        {"type": "TestTimeAug", "transforms": [views, flips, [pack]]},
    ]
    config, checkpoint, store = run(
        "retinanet-r50", options={"tta_pipeline": pipeline}, task_options={"tta": True}
    )
    dump = tmp_path / "dump.pkl"
    config.test_evaluator = {"type": "DumpDetResults", "out_file_path": str(dump)}
    library_test(config, checkpoint, tmp_path, tta=True)
    own = read_detections(store, CLEAN)
    for entry in pickle.loads(dump.read_bytes()):
        found = entry["pred_instances"]
        boxes = ConfigDict(
            scores=torch.as_tensor(found["scores"]), bboxes=torch.as_tensor(found["bboxes"])
        )
        check_boxes([kept for kept in own if kept["image_id"] == entry["img_id"]], boxes)


def test_a_loading_step_inside_a_wrapper(run, data, external):
    """A config whose pipeline hides it scores like the plain one."""
    plain = run("segformer-b0")[2]
    load, resize = {"type": "LoadImageFromFile"}, {"type": "Resize", "scale": (128, 64)}
    hidden = {"type": "RandomChoice", "transforms": [[load, {**resize, "keep_ratio": True}]]}
    pipeline = [hidden, {"type": "PackSegInputs"}]
    store = run(
        "segformer-b0", small=False, options={"test_dataloader.dataset.pipeline": pipeline}
    )[2]
    for cell in (CLEAN, NOISE):
        tables = [found.read(cell).samples["confusion_matrix"] for found in (plain, store)]
        np.testing.assert_array_equal(*tables)


def test_the_tool_takes_a_packaged_name(run_tool, external, data, tmp_path):
    case = external.CASES["segformer-b0"]
    options = external.case_options(case, data)
    external.write_checkpoint(case, options, tmp_path / "random.pth")
    words = [f"{name}={str(value).replace(' ', '')}" for name, value in options.items()]
    done = run_tool(
        "robustness.py", case.config.removesuffix(".py"), tmp_path / "random.pth",
        "--corruptions", "fog", "--severities", "1", "--workers", "0",
        "--work-dir", tmp_path / "sweep", "--cfg-options", *words,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert CellStore(tmp_path / "sweep").provenance().model == (
        "segformer_mit-b0_8xb1-160k_cityscapes-1024x1024"
    )
