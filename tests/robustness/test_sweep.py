"""The sweep against an independent computation, interrupted, split over processes, and refused."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from unittest import mock

import cv2
import numpy as np
import pytest
import torch
from mmcv.transforms import LoadImageFromFile

import stl_backbones
from stl_backbones.copies import ManifestHeader, Row
from stl_backbones.copies.manifest import digest
from stl_backbones.corruptions import corrupt
from stl_backbones.errors import InputError
from stl_backbones.metrics import binned_error, binned_terms, calibration_error, calibration_terms
from stl_backbones.records import CLEAN, Cell, CorruptionEngine, CorruptionSpec
from stl_backbones.results import CellStore
from stl_backbones.robustness.corrupted_copy import copy_path, find_copy
from stl_backbones.robustness.options import SweepOptions
from stl_backbones.robustness.sources.config import ConfigSource
from stl_backbones.robustness.sweep import open_sets, sweep

CHOSEN = {"corruptions": ["brightness", "impulse_noise"], "severities": [1, 3]}
CELLS = [CLEAN, Cell("brightness", 1), Cell("brightness", 3), *(
    Cell("impulse_noise", severity) for severity in (1, 3)
)]  # fmt: skip
WORDS = ("--corruptions", "brightness", "impulse_noise", "--severities", "1", "3", "--workers", "0")


@pytest.fixture(scope="module")
def config(repo_root):
    return repo_root / "configs/seg/stl_fan_t_mini.py"


@pytest.fixture(scope="module")
def run_sweep(config, mini_checkpoint, mini_options):
    def run(work_dir, *, checkpoint=mini_checkpoint, options=(), progress=None, **chosen):
        return sweep(
            ConfigSource(config, checkpoint, options={**mini_options, **dict(options)}),
            work_dir=work_dir,
            options=SweepOptions(**{**CHOSEN, "workers": 0, **chosen}),
            on_progress=progress,
        )

    return run


@pytest.fixture(scope="module")
def swept(run_sweep, tmp_path_factory):
    return run_sweep(tmp_path_factory.mktemp("sweep") / "undisturbed")


@pytest.fixture(scope="module")
def images(mini_data):
    folder = mini_data / "cityscapes/leftImg8bit/val"
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*.png"))}


@pytest.fixture
def corrupted_root(images, tmp_path):
    """A corrupted copy on disk, as lossless PNG, made without the sweep's own code."""
    for cell in CELLS[1:]:
        for key, path in images.items():
            rgb = np.ascontiguousarray(cv2.imread(str(path))[..., ::-1])
            made = corrupt(rgb, cell.corruption, cell.severity, key=key, mode="exact")
            target = tmp_path / "city_c" / cell.corruption / str(cell.severity) / key
            target.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(target), made[..., ::-1])
    return tmp_path / "city_c"


def cell_bytes(folder):
    return {path.name: path.read_bytes() for path in sorted((folder / "cells").iterdir())}


def independent_numbers(model, image_bgr, label, size):
    """Confusion matrix and ECE of one image, without mmseg's test loop."""
    resized = cv2.resize(image_bgr, size, interpolation=cv2.INTER_LINEAR)
    rgb = resized[..., ::-1].astype(np.float32)
    normed = (rgb - [123.675, 116.28, 103.53]) / [58.395, 57.12, 57.375]
    batch = torch.from_numpy(normed.transpose(2, 0, 1)[None].astype(np.float32))
    with torch.no_grad():
        logits = model.decode_head(model.backbone(batch))
        logits = torch.nn.functional.interpolate(logits, label.shape, mode="bilinear")
    guess = logits.argmax(1)[0].numpy()
    table = np.zeros((19, 19), np.int64)
    keep = label != 255
    np.add.at(table, (label[keep], guess[keep]), 1)
    confidence = logits.softmax(1).amax(1)[0].numpy()[keep]
    terms = calibration_terms(confidence, guess[keep] == label[keep])
    return table, float(calibration_error(terms.sum(axis=0, dtype=np.float64), keep.sum()))


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_cells_equal_an_independent_computation(cell, swept, config, mini_checkpoint, images):
    from stl_backbones.config.reading import load_config
    from stl_backbones.robustness.tasks.dense import build_model

    model = build_model(load_config(config), mini_checkpoint)
    result = CellStore(swept).read(cell)
    assert result.image_ids == tuple(images)
    errors = binned_error(binned_terms(result.samples["pixel_calibration"]))
    tables = result.samples["confusion_matrix"]
    for found, error, (key, path) in zip(tables, errors, images.items(), strict=True):
        image = cv2.imread(str(path))
        if not cell.is_clean:
            rgb = np.ascontiguousarray(image[..., ::-1])
            image = corrupt(rgb, cell.corruption, cell.severity, key=key, mode="exact")[..., ::-1]
        stem = str(path).replace("leftImg8bit/", "gtFine/")
        label = cv2.imread(
            stem.replace("_leftImg8bit.png", "_gtFine_labelTrainIds.png"), cv2.IMREAD_UNCHANGED
        )
        expected, error_expected = independent_numbers(model, image, label, (128, 64))
        # A pixel on the edge between two classes may fall to either side.
        assert np.abs(found - expected).sum() <= 0.001 * expected.sum()
        assert error == pytest.approx(error_expected, abs=0.001)


def test_predictions_are_of_several_classes(swept):
    """Else the comparison above would prove little."""
    table = CellStore(swept).read(CLEAN).samples["confusion_matrix"].sum(axis=0)
    assert (table.sum(axis=0) > 100).sum() >= 3


def test_counts_are_stored_in_few_bytes(swept):
    matrix = CellStore(swept).read(CLEAN).samples["confusion_matrix"]
    assert matrix.dtype == np.uint16
    assert matrix.sum() > np.iinfo(np.uint16).max / 4  # they would not fit into fewer


def test_every_cell_is_there_with_its_provenance(swept):
    store = CellStore(swept)
    assert set(store.cells()) == set(CELLS)
    provenance = store.provenance()
    assert provenance.versions["stl_backbones"] == stl_backbones.__version__
    assert provenance.num_images == provenance.num_images_total == 4
    assert provenance.inference == "whole"
    assert provenance.corruption_source == "on-the-fly"
    assert len(provenance.classes) == 19
    assert store.finished(provenance) == set(CELLS)


def test_the_images_of_a_list(swept, run_sweep, tmp_path):
    whole = CellStore(swept).read(CLEAN)
    (tmp_path / "ids.txt").write_text(whole.image_ids[-1])
    folder = run_sweep(tmp_path / "x", image_list=tmp_path / "ids.txt", corruptions=())
    found = CellStore(folder).read(CLEAN)
    assert found.image_ids == whole.image_ids[-1:]
    assert found.provenance.num_images_total == len(whole.image_ids)
    matrices = found.samples["confusion_matrix"], whole.samples["confusion_matrix"][-1:]
    assert np.array_equal(*matrices)


def test_a_config_scores_acdc_as_its_own_data(swept, run_sweep, mini_data, tmp_path):
    """The images of val as ACDC's fog and night give the very numbers of val."""
    whole, city = CellStore(swept).read(CLEAN), mini_data / "cityscapes"
    ids = whole.image_ids[:2]
    for condition, one in zip(("fog", "night"), ids, strict=True):
        label = city / "gtFine/val" / one.replace("_leftImg8bit.png", "_gtFine_labelTrainIds.png")
        for source, name in (
            (city / "leftImg8bit/val" / one, f"rgb_anon/{condition}/val/GP/1_rgb_anon.png"),
            (label, f"gt/{condition}/val/GP/1_gt_labelTrainIds.png"),
        ):
            (tmp_path / "acdc" / name).parent.mkdir(parents=True)
            shutil.copy(source, tmp_path / "acdc" / name)
    own = {"sets": [f"acdc={tmp_path / 'acdc'}"], "allow_missing": True}
    folder = run_sweep(tmp_path / "x", corruptions=(), limit=2, task_options=own)
    found = CellStore(folder / "acdc").read(CLEAN)
    matrices = found.samples["confusion_matrix"], whole.samples["confusion_matrix"][:2]
    assert np.array_equal(*matrices)
    assert found.image_ids[0] == "rgb_anon/fog/val/GP/1_rgb_anon.png"
    assert (folder / "acdc/conditions.csv").read_text().splitlines()[1].endswith(",fog")
    assert found.provenance.corruption_source == "none"


def test_a_second_run_measures_nothing(swept, run_sweep):
    before = {path: path.stat().st_mtime_ns for path in (swept / "cells").iterdir()}
    run_sweep(swept)
    assert {path: path.stat().st_mtime_ns for path in (swept / "cells").iterdir()} == before


def test_lost_and_damaged_cells_are_measured_again(swept, run_sweep, tmp_path):
    copy = shutil.copytree(swept, tmp_path / "copy")
    (copy / "cells/clean.npz").unlink()
    damaged = copy / "cells/brightness-3.npz"
    damaged.write_bytes(damaged.read_bytes()[: damaged.stat().st_size // 2])
    (copy / "cells/impulse_noise-1.npz").write_bytes(b"")
    run_sweep(copy)
    assert cell_bytes(copy) == cell_bytes(swept)


def test_killed_and_restarted_gives_the_same_files(
    swept, config, mini_checkpoint, mini_option_words, tmp_path, repo_root
):
    command = [
        sys.executable, "tools/robustness.py", str(config), str(mini_checkpoint),
        "--work-dir", str(tmp_path / "killed"), *WORDS, "--cfg-options", *mini_option_words,
    ]  # fmt: skip
    process = subprocess.Popen(command, cwd=repo_root, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "killed").glob("blocks/*.npz")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not cell_bytes(tmp_path / "killed")
    finished = subprocess.run(command, cwd=repo_root, capture_output=True, text=True, check=True)
    assert finished.stderr.count("4/4 images") == 1
    assert cell_bytes(tmp_path / "killed") == cell_bytes(swept)
    assert not list((tmp_path / "killed").rglob("*.partial"))


def test_two_processes_give_the_same_files(
    swept, config, mini_checkpoint, mini_option_words, tmp_path, run_tool, torchrun
):
    done = run_tool(
        "robustness.py", config, mini_checkpoint, "--work-dir", tmp_path / "two", *WORDS,
        "--cfg-options", *mini_option_words, launch=torchrun,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("4/4 images") == done.stdout.count("next:") == 1
    assert cell_bytes(tmp_path / "two") == cell_bytes(swept)


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [2, 3])
def test_worker_processes_change_nothing(swept, run_sweep, tmp_path, workers):
    assert cell_bytes(run_sweep(tmp_path / "w", workers=workers)) == cell_bytes(swept)


def test_images_of_a_batch_do_not_change_each_other(swept, run_sweep, tmp_path):
    batched = CellStore(run_sweep(tmp_path / "b", batch_size=3))
    for cell in CELLS:
        found, expected = (
            store.read(cell).samples["confusion_matrix"].astype(np.int64)
            for store in (batched, CellStore(swept))
        )
        # The last digits of sums depend on the batch; a pixel between two classes may change.
        assert np.abs(found - expected).sum() <= 0.001 * expected.sum()


def test_bfloat16_is_recorded_and_near(swept, run_sweep, tmp_path):
    store = CellStore(run_sweep(tmp_path / "x", amp="bfloat16"))
    assert store.provenance().inference == "whole, bfloat16"
    found, expected = (
        one.read(CLEAN).samples["confusion_matrix"].astype(np.int64)
        for one in (store, CellStore(swept))
    )
    apart = np.abs(found - expected).sum() / expected.sum()
    assert 0 < apart < 0.1


def test_models_are_scored_without_tf32_by_the_same_algorithms(run_sweep, tmp_path, monkeypatch):
    cudnn, seen = torch.backends.cudnn, []
    monkeypatch.setattr(cudnn, "benchmark", True)
    run_sweep(tmp_path / "x", corruptions=(), limit=1, progress=lambda _: seen.append(
        (cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic)
    ))  # fmt: skip
    assert set(seen) == {(False, False, True)}
    assert cudnn.benchmark


def test_tf32_without_a_gpu_is_refused_before_any_work(run_sweep, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="--tf32 needs a GPU"):
        run_sweep(tmp_path / "x", tf32=True)
    assert not (tmp_path / "x").exists()


def test_an_image_is_decoded_once_for_all_its_versions(run_sweep, tmp_path, images):
    read = []
    load = LoadImageFromFile.transform

    def spy(self, results):
        read.append(results["img_path"])
        return load(self, results)

    with mock.patch.object(LoadImageFromFile, "transform", spy):
        run_sweep(tmp_path / "x")
    own = [path for path in read if "leftImg8bit" in path]  # beside a picture of noise
    paths = [str(path) for path in images.values()]
    # Before: a few images for the labels' sake, and the first one for the pipeline's.
    assert own == [*paths, paths[0], *paths]


def test_what_a_killed_sweep_left_is_used(swept, run_sweep, tmp_path):
    seen = []

    def stop(progress):
        if progress.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_sweep(tmp_path / "x", progress=stop)
    assert len(list((tmp_path / "x/blocks").iterdir())) == 2
    run_sweep(tmp_path / "x", progress=seen.append)
    assert [progress.done for progress in seen] == [2, 3, 4]
    assert cell_bytes(tmp_path / "x") == cell_bytes(swept)
    assert not (tmp_path / "x/blocks").exists()


def test_a_corrupted_copy_scores_like_on_the_fly(swept, run_sweep, corrupted_root, tmp_path):
    from_files = CellStore(run_sweep(tmp_path / "files", corrupted_root=corrupted_root))
    for cell in CELLS:
        expected = CellStore(swept).read(cell).samples["confusion_matrix"]
        assert (from_files.read(cell).samples["confusion_matrix"] == expected).all()
    got = from_files.provenance()
    assert (got.corruption_source, got.corruption_mode) == ("folder:city_c", "files")
    assert (got.corruption_package, got.channel_order) == ("unknown", "unknown")


def test_a_copy_with_a_manifest_says_how_it_was_made(swept, run_sweep, corrupted_root, tmp_path):
    header = ManifestHeader(
        layout="cityscapes", split="val", protocol="stl-cityscapes-c", mode="fast",
        compat="imaug-1.1.5", engine="engine 7", channel_order="bgr", seed=3, versions={}, images=4,
        cells={"brightness": (1, 3), "impulse_noise": (1, 3)}, image_format="png",
    )  # fmt: skip
    rows = ""
    for path in sorted(corrupted_root.rglob("*.png")):
        name, level, *inner = path.relative_to(corrupted_root).parts
        key = "/".join(inner).removeprefix("val/")
        rows += Row(key, name, int(level), path.name, path.stat().st_size, 8, 8, "0").to_line()
    (corrupted_root / "manifest.jsonl").write_text(rows)
    header = dataclasses.replace(header, rows_blake2b=digest(rows.encode()))
    (corrupted_root / "manifest.json").write_bytes(header.to_json())
    got = CellStore(run_sweep(tmp_path / "x", corrupted_root=corrupted_root)).provenance()
    assert (got.corruption_source, got.corruption_mode) == ("folder:city_c (png)", "fast")
    assert (got.corruption_package, got.channel_order, got.seed) == ("engine 7", "bgr", 3)


@pytest.mark.parametrize("clean_suffix", [".bmp", ".jpg"])
def test_copies_are_found_under_another_suffix(corrupted_root, images, clean_suffix):
    keys = [key.replace(".png", clean_suffix) for key in images]
    folders = find_copy(corrupted_root, CELLS[1:], keys, image_root=None).folders
    folder = folders[CELLS[1]]
    assert copy_path(folder, keys[0]) == folder / next(iter(images))


def test_a_copy_under_its_own_name_comes_first(tmp_path):
    for name in ("a.jpg", "a.png", "b.png"):
        (tmp_path / name).touch()
    found = [copy_path(tmp_path, key).name for key in ("a.jpg", "b.jpg", "c.jpg")]
    assert found == ["a.jpg", "b.png", "c.jpg"]


def test_another_images_copy_does_not_stand_in(corrupted_root, images):
    (key, other), folder = list(images)[:2], corrupted_root / "brightness/1"
    clash = key.replace(".png", ".bmp")  # the clean set has both, the copy only the other's
    with pytest.raises(InputError, match=f"does not say which image is a copy of '{clash}'"):
        find_copy(corrupted_root, CELLS[1:], [key, other, clash], image_root=None)
    assert (folder / key).is_file()


@pytest.mark.parametrize(
    ("protocol", "asked", "mode"),
    [
        ("stl-cityscapes-c", None, "exact"),
        ("stl-cityscapes-c", "reference", "reference"),
        ("all", None, "fast"),
        ("all", "exact", "exact"),
    ],
)
def test_the_engine_fits_the_protocol(protocol, asked, mode):
    resolved = SweepOptions(mode=asked).resolved(protocol=protocol, batch_size=1)
    assert resolved.mode == mode


def test_the_engine_asked_for_is_the_one_used(run_sweep, tmp_path, images):
    """Else a sweep might say fast and measure exact."""
    chosen = {
        "corruptions": ["impulse_noise"],
        "severities": [3],
        "compat": "imagecorruptions-1.1.2",
    }
    seen = []

    def spy(image, spec, key, device):
        seen.append((spec, key, device))
        return image

    with mock.patch("stl_backbones.robustness.dense_data.apply_corruption", spy):
        store = CellStore(run_sweep(tmp_path / "x", mode="fast", seed=5, **chosen))
    spec = CorruptionSpec("impulse_noise", 3, CorruptionEngine("fast", chosen["compat"], seed=5))
    assert seen == [(spec, key, "cpu") for key in images]  # the model's device
    assert store.provenance().corruption_mode == "fast"


@pytest.mark.parametrize("workers", [0, 2])
def test_on_the_models_device_workers_only_load(run_sweep, tmp_path, workers):
    """The corruption runs in this process, and gives what the engine gives."""
    processes = []

    def spy(image, spec, key, device):
        processes.append(os.getpid())
        assert spec.engine.mode == "torch"
        return corrupt(image, spec.name, spec.severity, key=key, mode="fast")

    chosen = {"corruptions": ["impulse_noise"], "severities": [1, 3]}
    with mock.patch("stl_backbones.robustness.dense_data.apply_corruption", spy):
        folder = run_sweep(tmp_path / "torch", mode="torch", workers=workers, **chosen)
    assert processes == [os.getpid()] * 8
    expected = CellStore(run_sweep(tmp_path / "fast", mode="fast", **chosen))
    for cell in expected.cells():
        found = CellStore(folder).read(cell).samples["confusion_matrix"]
        assert (found == expected.read(cell).samples["confusion_matrix"]).all(), cell


def test_engines_are_prepared_before_workers_start(run_sweep, tmp_path):
    with mock.patch("stl_backbones.robustness.tasks.base.prepare") as prepared:
        run_sweep(tmp_path / "x", mode="fast", severities=[1], corruptions=["brightness"])
    prepared.assert_called_once_with(("brightness",), mode="fast", strengths="imagenet")


def test_the_torch_engine(run_sweep, tmp_path, images):
    """On whatever device; glass_blur has no parallel form, the fast engine makes it."""
    chosen = {"corruptions": ["brightness", "glass_blur"], "severities": [2]}
    store = CellStore(run_sweep(tmp_path / "x", mode="torch", workers=1, **chosen))
    assert store.provenance().corruption_mode == "torch"
    assert store.provenance().corruption_package.startswith("stl_backbones")
    fast = CellStore(run_sweep(tmp_path / "fast", mode="fast", **chosen))
    found, expected = (
        s.read(Cell("glass_blur", 2)).samples["confusion_matrix"] for s in (store, fast)
    )
    assert (found == expected).all()


def test_limit_takes_the_first_images_and_says_so(run_sweep, tmp_path, swept):
    store = CellStore(run_sweep(tmp_path / "limited", limit=2, corruptions=["brightness"]))
    provenance = store.provenance()
    assert (provenance.num_images, provenance.num_images_total) == (2, 4)
    expected = CellStore(swept).read(CLEAN).samples["confusion_matrix"][:2]
    assert (store.read(CLEAN).samples["confusion_matrix"] == expected).all()


class TestRefusals:
    def test_another_checkpoint(self, swept, run_sweep, mini_checkpoint, tmp_path):
        other = torch.load(mini_checkpoint)
        other["state_dict"]["decode_head.conv_seg.bias"] += 1
        torch.save(other, tmp_path / "other.pth")
        with pytest.raises(ValueError, match=r"results of another run \(checkpoint_sha256"):
            run_sweep(swept, checkpoint=tmp_path / "other.pth")

    def test_another_config(self, swept, run_sweep):
        with pytest.raises(ValueError, match="config_sha256"):
            run_sweep(swept, options={"model.decode_head.dropout_ratio": 0.2})

    def test_another_seed(self, swept, run_sweep):
        with pytest.raises(ValueError, match="seed: there 0, now 1"):
            run_sweep(swept, seed=1)

    def test_another_architecture(self, run_sweep, mini_checkpoint, tmp_path):
        options = {"model.backbone.arch": "small_hybrid"}
        options["model.decode_head.in_channels"] = [128, 256, 384, 384]
        with pytest.raises(ValueError, match=r"does not fit the config's model: .* keys missing"):
            run_sweep(tmp_path / "x", options=options)
        assert not (tmp_path / "x").exists()

    def test_pickled_code(self, run_sweep, tmp_path):
        class Payload:
            def __reduce__(self):
                return os.mkdir, (str(tmp_path / "ran"),)

        torch.save({"state_dict": {}, "x": Payload()}, tmp_path / "evil.pth")
        with pytest.raises(ValueError, match="pickled code"):
            run_sweep(tmp_path / "x", checkpoint=tmp_path / "evil.pth")
        assert not (tmp_path / "ran").exists()

    @pytest.mark.parametrize(
        ("chosen", "error", "message"),
        [
            ({"protocol": "city"}, KeyError, "unknown protocol 'city'; did you mean stl-city"),
            (
                {"corruptions": ["frog"]},
                KeyError,
                "unknown corruption 'frog'; did you mean fog",
            ),
            ({"corruptions": ["pixelate"]}, KeyError, "not part of protocol 'stl-cityscapes-c'"),
            ({"severities": [6]}, ValueError, r"severity must be a number in 1\.\.5, got 6"),
            ({"severities": [5], "corruptions": ["shot_noise"]}, ValueError, "no cell of protocol"),
            ({"mode": "quick"}, ValueError, "corruption mode must be one of"),
            ({"compat": "0.9"}, ValueError, "compat must be one of"),
            ({"channel_order": "grb"}, ValueError, "channel order must be one of rgb, bgr"),
            ({"limit": 0}, ValueError, "limit must be at least 1, got 0"),
            ({"batch_size": 0}, ValueError, "batch size must be at least 1, got 0"),
            ({"workers": -1}, ValueError, "workers must be at least 0, got -1"),
            ({"corrupted_root": "/nowhere"}, FileNotFoundError, "'/nowhere' does not exist"),
        ],
    )
    def test_bad_choices(self, run_sweep, tmp_path, chosen, error, message):
        with pytest.raises(error, match=message):
            run_sweep(tmp_path / "x", **chosen)
        assert not (tmp_path / "x").exists()

    def test_the_clean_folder_as_corrupted_root(self, run_sweep, mini_data, tmp_path):
        for name in ("leftImg8bit/val", "leftImg8bit"):
            with pytest.raises(ValueError, match="is the clean image folder"):
                run_sweep(tmp_path / "x", corrupted_root=mini_data / "cityscapes" / name)

    def test_a_copy_of_the_clean_images(self, run_sweep, corrupted_root, images, tmp_path):
        key, path = next(iter(images.items()))
        shutil.copy(path, corrupted_root / "brightness/1" / key)
        with pytest.raises(ValueError, match="is the clean image"):
            run_sweep(tmp_path / "x", corrupted_root=corrupted_root)

    def test_a_later_copy_of_a_clean_image(self, run_sweep, corrupted_root, images, tmp_path):
        key, path = list(images.items())[-1]
        shutil.copy(path, corrupted_root / "brightness/3" / key)
        with pytest.raises(ValueError, match="is the clean image"):
            run_sweep(tmp_path / "x", corrupted_root=corrupted_root)

    def test_a_missing_cell(self, run_sweep, corrupted_root, tmp_path):
        shutil.rmtree(corrupted_root / "impulse_noise/3")
        with pytest.raises(FileNotFoundError, match="cell 'impulse_noise-3' is missing"):
            run_sweep(tmp_path / "x", corrupted_root=corrupted_root)

    def test_a_missing_image(self, run_sweep, corrupted_root, images, tmp_path):
        (corrupted_root / "brightness/3" / list(images)[2]).unlink()
        with pytest.raises(FileNotFoundError, match="cell 'brightness-3' lacks 1 of 4 images"):
            run_sweep(tmp_path / "x", corrupted_root=corrupted_root)

    def test_a_foreign_image(self, run_sweep, corrupted_root, images, tmp_path):
        folder = corrupted_root / "brightness/3"
        shutil.copy(folder / next(iter(images)), folder / "other_city.png")
        with pytest.raises(ValueError, match=r"holds 1 images that the clean set has not \(other"):
            run_sweep(tmp_path / "x", corrupted_root=corrupted_root)

    def test_an_image_of_another_size(self, run_sweep, corrupted_root, images, tmp_path):
        path = corrupted_root / "brightness/3" / next(iter(images))
        cv2.imwrite(str(path), cv2.imread(str(path))[:60])
        with pytest.raises(ValueError, match="is 128x60, the clean image 128x64"):
            run_sweep(tmp_path / "x", corrupted_root=corrupted_root)


class TestBrokenData:
    @pytest.fixture
    def data(self, mini_data, tmp_path):
        return shutil.copytree(mini_data / "cityscapes", tmp_path / "broken")

    @pytest.fixture
    def first(self, data):
        return min((data / "leftImg8bit/val").rglob("*.png"))

    def test_a_truncated_png_is_named(self, data, first, run_sweep, tmp_path):
        first.write_bytes(first.read_bytes()[:-20])
        with pytest.raises(ValueError, match=rf"{first.name}' is truncated.*--skip-broken"):
            run_sweep(tmp_path / "x", options={"data_root": str(data)})

    def test_skipped_on_request_and_reported(self, data, first, run_sweep, tmp_path, swept):
        first.write_bytes(first.read_bytes()[:-20])
        store = CellStore(
            run_sweep(tmp_path / "x", options={"data_root": str(data)}, skip_broken=True)
        )
        provenance = store.provenance()
        assert provenance.skipped == (f"mini/{first.name}",)
        assert (provenance.num_images, provenance.num_images_total) == (3, 4)
        expected = CellStore(swept).read(CLEAN).samples["confusion_matrix"][1:]
        assert (store.read(CLEAN).samples["confusion_matrix"] == expected).all()

    def test_a_label_that_is_no_class_is_named(self, data, run_sweep, tmp_path):
        path = min((data / "gtFine/val").rglob("*.png"))
        labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        labels[0, 0] = 33
        cv2.imwrite(str(path), labels)
        with pytest.raises(ValueError, match=rf"{path.name}' holds labels that are no class.*33"):
            run_sweep(tmp_path / "x", options={"data_root": str(data)})

    def test_an_empty_folder(self, data, run_sweep, tmp_path):
        shutil.rmtree(data / "leftImg8bit/val/mini")
        with pytest.raises(FileNotFoundError, match="--data-root DIR"):
            run_sweep(tmp_path / "x", options={"data_root": str(data)})


def test_the_record_is_plain_json(swept):
    assert json.loads((swept / "run.json").read_text())["task"] == "segmentation"


@pytest.mark.parametrize("from_files", [False, True])
def test_an_image_that_is_made_again_is_the_sweeps(
    from_files, config, mini_checkpoint, mini_options, swept, images, corrupted_root
):
    source = ConfigSource(config, mini_checkpoint, options=mini_options)
    root = corrupted_root if from_files else None
    options = SweepOptions(**CHOSEN, workers=0, corrupted_root=root)
    key = list(images)[1]
    rgb = np.ascontiguousarray(cv2.imread(str(images[key]))[..., ::-1])
    for scored, _ in open_sets(source, options, "none"):
        for found in scored.examine(1, CELLS):
            cell, stored = found.cell, CellStore(swept).read(found.cell).samples
            assert (found.samples["confusion_matrix"][0] == stored["confusion_matrix"][1]).all()
            made = rgb if cell.is_clean else corrupt(
                rgb, cell.corruption, cell.severity, key=key, mode="exact"
            )  # fmt: skip
            assert (found.image == made).all()
            shown, counted = found.prediction, found.prediction.truth != 255
            right = (shown.found == shown.truth)[counted].sum()
            assert right == np.trace(stored["confusion_matrix"][1])
