"""The classifier's sweep against an independent computation, interrupted, split, and refused."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from copy import deepcopy

import numpy as np
import pytest
import timm
import torch
from mmengine.registry import MODELS
from PIL import Image

from stl_backbones import evaluate
from stl_backbones.cli.robustness_options import TASK_OPTIONS
from stl_backbones.config.reading import load_config
from stl_backbones.copies.images import JPEG_HENDRYCKS
from stl_backbones.corruptions import Protocol, corrupt, register_protocol
from stl_backbones.datasets.class_folders import ClassFolders, read_rgb
from stl_backbones.datasets.imagenet_classes import imagenet_wnids, subset_indices, subset_wnids
from stl_backbones.datasets.views import IMAGENET_C_VIEW, View
from stl_backbones.records import CLEAN, Cell
from stl_backbones.results import CellStore
from stl_backbones.robustness.options import SweepOptions
from stl_backbones.robustness.sources.base import Source
from stl_backbones.robustness.sources.classifier import ViewOptions, make_classifier
from stl_backbones.robustness.sources.config import ConfigSource
from stl_backbones.robustness.sources.timm import TimmSource
from stl_backbones.robustness.sweep import sweep

MINI = "configs/cls/stl_fan_t_mini_student.py"
CHOSEN = {"corruptions": ("gaussian_noise", "contrast"), "severities": (1, 4), "batch_size": 16}
WORDS = ("--corruptions", "gaussian_noise", "contrast", "--severities", "1", "4",
         "--batch-size", "16", "--workers", "0")  # fmt: skip
CELLS = (CLEAN, *(Cell(name, level) for name in CHOSEN["corruptions"] for level in (1, 4)))
RECORDS = {"label": "int32", "prediction": "int32", "in_top5": "bool", "confidence": "float32",
           "nll": "float32"}  # fmt: skip
WNIDS = imagenet_wnids()


def with_task_options(chosen):
    """Options of a sweep, those of classification alone among them."""
    own = {name: chosen.pop(name) for name in list(chosen) if name in TASK_OPTIONS}
    return SweepOptions(**chosen, task_options=own)


@pytest.fixture(scope="module")
def config(repo_root, mini_data):
    return load_config(repo_root / MINI, options={"data_root": str(mini_data / "imagenet")})


@pytest.fixture(scope="module")
def network(config, mini_data):
    """The mini student, untrained, with a head that tells the images apart."""
    torch.manual_seed(0)
    backbone = MODELS.build(config.model).eval().backbone
    torch.nn.init.normal_(backbone.aux_head.weight)
    files = sorted((mini_data / "imagenet/val").rglob("*.*"))
    with torch.no_grad():
        logits = torch.cat([backbone(normed(np.array(read_rgb(file))))[0] for file in files])
        backbone.head.bias.sub_(logits.mean(0))
        for parameter in (backbone.head.weight, backbone.head.bias):
            parameter.div_(logits.std(0).mean())
    return backbone


@pytest.fixture(scope="module")
def checkpoint(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "mini.pth"
    weights = {f"backbone.{name}": value for name, value in network.state_dict().items()}
    torch.save({"state_dict": weights}, path)
    return path


@pytest.fixture(scope="module")
def run_sweep(config, checkpoint, mini_data):
    options = {"data_root": str(mini_data / "imagenet")}

    def run(work_dir, *, progress=None, **chosen):
        source = ConfigSource(config.filename, checkpoint, options=options, name="mini")
        chosen = with_task_options({**CHOSEN, "workers": 0, "mode": "fast", **chosen})
        return sweep(source, work_dir=work_dir, options=chosen, on_progress=progress)

    return run


@pytest.fixture(scope="module")
def swept(run_sweep, tmp_path_factory):
    return run_sweep(tmp_path_factory.mktemp("sweep") / "undisturbed")


def normed(pixels):
    values = (pixels / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    return torch.tensor(values).permute(2, 0, 1)[None].float()


def cell_bytes(folder):
    return {path.name: path.read_bytes() for path in sorted((folder / "cells").iterdir())}


def test_the_network_itself_gives_the_configs_cells(swept, network, mini_data, tmp_path):
    root = mini_data / "imagenet/val"
    chosen = {**CHOSEN, "workers": 0, "mode": "fast", "protocol": "imagenet-c"}
    own = CellStore(swept).provenance()
    evaluate(
        network, root, size=64, crop_pct=1.0, interpolation="bicubic",
        mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225],
        classes=own.classes, work_dir=tmp_path, progress=False, **chosen,
    )  # fmt: skip
    for cell in CELLS:
        config, module = (CellStore(folder).read(cell).samples for folder in (swept, tmp_path))
        assert np.abs(config["confidence"] - module["confidence"]).max() < 1e-4
        assert np.array_equal(config["prediction"], module["prediction"])


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_cells_equal_an_independent_computation(cell, swept, network, mini_data):
    root = mini_data / "imagenet/val"
    files = sorted(root.rglob("*.*"))
    names = sorted(folder.name for folder in root.iterdir())
    result = CellStore(swept).read(cell)
    assert result.image_ids == tuple(file.relative_to(root).as_posix() for file in files)
    light = dict.fromkeys(("brightness", "contrast"), "float32") if cell.is_clean else {}
    kinds = {name: str(values.dtype) for name, values in result.samples.items()}
    assert kinds == {**RECORDS, **light}
    for index, file in enumerate(files):
        with Image.open(file) as image:
            pixels = np.array(image.convert("RGB"))  # 64x64: nothing to resize or crop
        if not cell.is_clean:
            key = result.image_ids[index]
            pixels = corrupt(pixels, cell.corruption, cell.severity, key=key, mode="fast")
        with torch.no_grad():
            logits = network(normed(pixels))[0][0].double()
        chances = np.exp(logits.numpy()) / np.exp(logits.numpy()).sum()
        label = names.index(file.parent.name)
        record = {name: values[index] for name, values in result.samples.items()}
        assert (record["label"], record["prediction"]) == (label, chances.argmax())
        assert record["in_top5"] == (label in np.argsort(chances)[-5:])
        assert record["confidence"] == pytest.approx(chances.max(), rel=1e-4)
        assert record["nll"] == pytest.approx(-np.log(chances[label]), rel=1e-3, abs=1e-5)


def test_predictions_are_of_several_classes(swept):
    """Else the comparison above would prove little."""
    assert len(np.unique(CellStore(swept).read(CLEAN).samples["prediction"])) >= 4


def test_provenance_says_what_was_done(swept, mini_data):
    store = CellStore(swept)
    assert set(store.cells()) == set(CELLS)
    got = store.provenance()
    assert got.task == "classification"
    assert got.dataset == "mini/imagenet (10 classes)"
    assert got.inference == "center crop 64 of 64 bicubic, scoring cls"
    assert (got.corruption_source, got.corruption_mode) == ("on-the-fly", "fast")
    assert got.num_images == got.num_images_total == 40
    assert got.classes == tuple(sorted(p.name for p in (mini_data / "imagenet/val").iterdir()))
    assert 7e6 < got.parameters < 8e6
    assert 2e8 < got.macs < 4e8
    assert got.notes == ()
    assert not (swept / "blocks").exists()


def test_the_other_scoring_adds_tokens(swept, run_sweep, tmp_path):
    store = CellStore(run_sweep(tmp_path / "x", scoring="cls_plus_max_token"))
    assert store.provenance().inference.endswith("scoring cls_plus_max_token")
    one, other = (
        CellStore(folder).read(CLEAN).samples["nll"] for folder in (swept, tmp_path / "x")
    )
    assert not np.allclose(one, other)


def test_worker_processes_change_nothing(swept, run_sweep, tmp_path):
    assert cell_bytes(run_sweep(tmp_path / "w", workers=2)) == cell_bytes(swept)


class StopError(Exception):
    """Ends a sweep after some blocks."""


def test_interrupted_and_restarted_gives_the_same_files(swept, run_sweep, tmp_path):
    def stop(progress):
        if progress.done >= 26:
            raise StopError

    with pytest.raises(StopError):
        run_sweep(tmp_path / "x", progress=stop)
    assert len(list((tmp_path / "x/blocks").glob("*.npz"))) == 2
    (tmp_path / "x/blocks/00000000-00000013.npz").write_bytes(b"damaged")
    seen = []
    run_sweep(tmp_path / "x", progress=seen.append)
    assert [progress.done for progress in seen] == [13, 26, 40]
    assert cell_bytes(tmp_path / "x") == cell_bytes(swept)
    assert not (tmp_path / "x/blocks").exists()


def test_cells_measured_before_change_nothing(swept, run_sweep, tmp_path):
    """A batch holds one cell, so it does not matter which others were left to do."""
    run_sweep(tmp_path / "x", corruptions=("contrast",))
    assert len(cell_bytes(tmp_path / "x")) == 3
    run_sweep(tmp_path / "x")
    assert cell_bytes(tmp_path / "x") == cell_bytes(swept)


def test_a_second_run_measures_nothing(swept, run_sweep):
    before = {path: path.stat().st_mtime_ns for path in (swept / "cells").iterdir()}
    run_sweep(swept)
    assert {path: path.stat().st_mtime_ns for path in (swept / "cells").iterdir()} == before


def command(repo_root, mini_data, checkpoint, folder):
    return [
        sys.executable, "tools/robustness.py", MINI, str(checkpoint), "--name", "mini", *WORDS,
        "--mode", "fast", "--work-dir", str(folder),
        "--cfg-options", f"data_root={mini_data / 'imagenet'}",
    ]  # fmt: skip


@pytest.mark.slow
def test_killed_and_restarted_gives_the_same_files(
    swept, repo_root, mini_data, checkpoint, tmp_path
):
    words = command(repo_root, mini_data, checkpoint, tmp_path / "killed")
    process = subprocess.Popen(words, cwd=repo_root, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 200
    while not list((tmp_path / "killed").glob("blocks/*.npz")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert cell_bytes(tmp_path / "killed") == {}
    subprocess.run(words, cwd=repo_root, capture_output=True, check=True)
    assert cell_bytes(tmp_path / "killed") == cell_bytes(swept)
    assert not list((tmp_path / "killed").rglob("*.partial"))


@pytest.mark.slow
def test_two_processes_give_the_same_files(
    swept, repo_root, mini_data, checkpoint, tmp_path, run_tool, torchrun
):
    words = command(repo_root, mini_data, checkpoint, tmp_path / "two")[2:]
    done = run_tool("robustness.py", *words, launch=torchrun, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("40/40 images") == done.stdout.count("next:") == 1
    assert cell_bytes(tmp_path / "two") == cell_bytes(swept)


def test_class_names_of_the_checkpoint_decide(config, network, mini_data, tmp_path):
    weights = {f"backbone.{name}": value for name, value in network.state_dict().items()}
    meta = {"dataset_meta": {"classes": tuple("abcdefghij")}}
    torch.save({"state_dict": weights, "meta": meta}, tmp_path / "x.pth")

    source = ConfigSource(
        config.filename, tmp_path / "x.pth", options={"data_root": str(mini_data / "imagenet")}
    )
    with pytest.raises(
        ValueError, match=r"10 folders that are no class of the model .* such as 'a'"
    ):
        sweep(source, work_dir=tmp_path, options=SweepOptions())


# ------------------------------------------------------------------- ImageNet's classes


A_ONLY, BOTH, R_ONLY, NEITHER = "n01498041", "n01531178", "n01443537", "n01440764"


def write_image(path, seed, size=(260, 240)):
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = size
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 20, width // 20, 3), np.uint8)
    image = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
    image.save(path, "JPEG", quality=95)


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory):
    """Validation images of four classes, and an ImageNet-A and -R of the classes they have."""
    root = tmp_path_factory.mktemp("imagenet")
    for seed, wnid in enumerate((A_ONLY, BOTH, R_ONLY, NEITHER)):
        for number in range(2):
            write_image(
                root / "val" / wnid / f"ILSVRC2012_val_{number:08d}.JPEG", 10 * seed + number
            )
    for seed, wnid in enumerate((A_ONLY, BOTH)):
        write_image(root / "a" / wnid / "0.jpg", 100 + seed)
    for seed, wnid in enumerate((BOTH, R_ONLY)):
        write_image(root / "r" / wnid / "art_0.jpg", 200 + seed)
    return root


@pytest.fixture(scope="module")
def timm_file(tmp_path_factory):
    torch.manual_seed(0)
    network = timm.create_model("test_resnet")
    torch.nn.init.normal_(network.fc.weight)
    path = tmp_path_factory.mktemp("timm") / "weights.pth"
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def run_timm(imagenet, timm_file):
    def run(work_dir, *, size=224, root="val", **chosen):
        source = TimmSource("test_resnet", timm_file, data_root=imagenet / root)
        plain = {**CHOSEN, "workers": 0, "mode": "fast", "allow_missing": True}
        options = with_task_options({**plain, "input_size": size, **chosen})
        return sweep(source, work_dir=work_dir, options=options)

    return run


@pytest.fixture(scope="module")
def copy(imagenet, tmp_path_factory):
    """An ImageNet-C of the validation images, made without the sweep's own code."""
    root = tmp_path_factory.mktemp("copy") / "imagenet-c"
    for file in (imagenet / "val").rglob("*.JPEG"):
        key = file.relative_to(imagenet / "val").as_posix()
        with Image.open(file) as image:
            crop = IMAGENET_C_VIEW(image)
        for cell in CELLS[1:]:
            made = corrupt(crop, cell.corruption, cell.severity, key=key, mode="fast")
            path = root / cell.corruption / str(cell.severity) / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(JPEG_HENDRYCKS.encode(made))
    return root


def same_samples(one, other, cells=CELLS):
    for cell in cells:
        mine, theirs = (CellStore(folder).read(cell).samples for folder in (one, other))
        for name in RECORDS:
            np.testing.assert_array_equal(mine[name], theirs[name])


def test_files_score_like_the_same_made_on_the_fly(run_timm, copy, tmp_path):
    files = run_timm(tmp_path / "files", corrupted_root=copy)
    made = run_timm(tmp_path / "made", jpeg85=True, resize_rule="imagenet-c")
    same_samples(files, made)
    got = CellStore(files).provenance()
    assert got.corruption_source == "folder:imagenet-c"
    assert got.inference.endswith("scoring cls, corrupted files as they are")
    assert not any("not the official" in note for note in got.notes)
    got = CellStore(made).provenance()
    assert got.corruption_source == "on-the-fly (jpeg quality=85)"
    assert got.inference.endswith("corrupted images center crop 224 of 256 bilinear")
    assert got.notes[0].startswith("not the official ImageNet-C files: corrupted on the fly from")
    assert got.notes[1] == "--allow-missing: images of 4 of the 1000 classes only"


@pytest.mark.parametrize(
    ("size", "rule", "words"),
    [
        (160, "imagenet-c-resized", "corrupted files resized to 160 bilinear"),
        (160, "model", "corrupted files through the same crop"),
    ],
)
def test_files_of_another_size_need_a_rule(run_timm, copy, tmp_path, size, rule, words):
    with pytest.raises(ValueError, match="ImageNet-C's images have 224 pixels, the network takes"):
        run_timm(tmp_path / "x", size=size, corrupted_root=copy)
    folder = run_timm(tmp_path / "x", size=size, corrupted_root=copy, resize_rule=rule)
    assert CellStore(folder).provenance().inference.endswith(words)


def test_cells_that_are_not_whole_are_left_out_and_noted(run_timm, copy, tmp_path, own_catalog):
    names = CHOSEN["corruptions"]
    levels = dict.fromkeys(names, CHOSEN["severities"])
    register_protocol(Protocol("four", {"some": names}, "a test", severities=levels))
    root = shutil.copytree(copy, tmp_path / "c")
    shutil.rmtree(root / "contrast/4" / BOTH)
    chosen = {"corrupted_root": root, "protocol": "four", "severities": None, "corruptions": None}
    # Noted whether or not it was asked for, so that both runs share the folder.
    run_timm(tmp_path / "x", **{**chosen, "corruptions": ("gaussian_noise",)})
    store = CellStore(run_timm(tmp_path / "x", **chosen))
    assert set(store.cells()) == set(CELLS) - {Cell("contrast", 4)}
    assert (
        "1 cells are not whole in the corrupted copy and were left out (contrast-4)"
        in (store.provenance().notes[0])
    )
    with pytest.raises(
        FileNotFoundError, match="none of the 1 cells asked for is whole; cell 'con"
    ):
        run_timm(tmp_path / "y", **{**chosen, "corruptions": ("contrast",), "severities": (4,)})


def test_another_copy_of_the_same_name_is_refused(run_timm, copy, tmp_path):
    chosen = {"corruptions": ("contrast",), "severities": (1,)}
    run_timm(tmp_path / "x", corrupted_root=copy, **chosen)
    other = shutil.copytree(copy, tmp_path / "imagenet-c")
    run_timm(tmp_path / "x", corrupted_root=other, **chosen)  # moved, the same files
    write_image(other / "gaussian_noise/4" / BOTH / "ILSVRC2012_val_00000000.JPEG", 7, (224, 224))
    chosen["corruptions"] = ("gaussian_noise",)  # other cells than those that are there
    with pytest.raises(ValueError, match=r"results of another run \(copy_digests: "):
        run_timm(tmp_path / "x", corrupted_root=other, **chosen)


def test_a_truncated_file_of_a_copy_ends_the_sweep_before_it_begins(run_timm, copy, tmp_path):
    root = shutil.copytree(copy, tmp_path / "c")
    last = max((root / "contrast/4").rglob("*.JPEG"))
    last.write_bytes(last.read_bytes()[:-200])
    with pytest.raises(ValueError, match=f"'{last}' is truncated"):
        run_timm(tmp_path / "x", corrupted_root=root)
    assert not (tmp_path / "x").exists()


def by_hand(timm_file):
    """The network, and what timm prepares its images with."""
    network = timm.create_model("test_resnet").eval()
    network.load_state_dict(torch.load(timm_file, weights_only=True))
    transform = timm.data.create_transform(
        (3, 224, 224), is_training=False, crop_pct=0.95, interpolation="bilinear",
        mean=(0.5,) * 3, std=(0.5,) * 3,
    )  # fmt: skip
    return network, transform


@pytest.mark.parametrize("name", ["ImageNet-A", "ImageNet-R"])
def test_the_logits_are_cut_to_the_200_classes(name, run_timm, imagenet, timm_file, tmp_path):
    folder = imagenet / name[-1].lower()
    run_timm(tmp_path / "x", severities=(1,), **{name.lower().replace("-", "_"): folder})
    network, transform = by_hand(timm_file)
    wnids = subset_wnids(name)
    for place, root in ((name.lower(), folder), (f"{name.lower()}-clean", imagenet / "val")):
        store = CellStore(tmp_path / "x" / place)
        assert store.cells() == (CLEAN,)
        result, got = store.read(CLEAN), store.provenance()
        files = [f for f in sorted(root.rglob("*.*")) if f.parent.name in wnids]
        assert result.image_ids == tuple(f.relative_to(root).as_posix() for f in files)
        assert got.classes == wnids
        for index, file in enumerate(files):
            with Image.open(file) as image, torch.inference_mode():
                logits = network(transform(image)[None])[0, list(subset_indices(name))]
            assert result.samples["label"][index] == wnids.index(file.parent.name)
            assert result.samples["prediction"][index] == logits.argmax()
            chance = logits.softmax(0).max().item()
            assert result.samples["confidence"][index] == pytest.approx(chance, rel=1e-3)
    assert CellStore(tmp_path / "x").provenance().classes == WNIDS


@pytest.fixture(scope="module")
def sets(imagenet, tmp_path_factory):
    """ImageNet-V2, ObjectNet with a red border, and cue-conflict images."""
    root = tmp_path_factory.mktemp("sets")
    for number in (0, 2, 10):
        write_image(root / f"imagenetv2-top-images-format-val/{number}/ab.jpeg", number)
    net = root / "objectnet"
    at = {wnid: WNIDS.index(wnid) for wnid in (A_ONLY, BOTH, R_ONLY)}
    names = {"bin": f"{A_ONLY}; {R_ONLY}", "cup": BOTH}
    (net / "mappings").mkdir(parents=True)
    files = {"folder_to_objectnet_label.json": {"bin": "bin", "cup": "cup"},
             "objectnet_to_imagenet_1k.json": names,
             "pytorch_to_imagenet_2012_id.json": {str(n): n for n in range(1000)}}  # fmt: skip
    for name, content in files.items():
        (net / "mappings" / name).write_text(json.dumps(content))
    (net / "mappings/imagenet_to_label_2012_v2").write_text("\n".join(WNIDS))
    for seed, name in enumerate(("bin", "cup")):
        path = net / "images" / name / "0123456789abcde.png"
        write_image(path, 300 + seed)
        with Image.open(path) as image:
            pixels = np.pad(np.array(image), ((2, 2), (2, 2), (0, 0)))
        Image.fromarray(pixels).save(path)
    styled = root / "stylized-imagenet/val" / BOTH / "ILSVRC2012_val_00000001.png"
    styled.parent.mkdir(parents=True)
    (styled.parents[1] / A_ONLY).mkdir()
    pixels = np.random.default_rng(7).integers(0, 256, (224, 224, 3), np.uint8)
    Image.fromarray(pixels).save(styled)
    return root, [(at[A_ONLY], at[R_ONLY]), (at[BOTH],)]


def test_sets_of_other_images(sets, run_timm, timm_file, tmp_path):
    """Labels, the border that is cut off, and both of ObjectNet's protocols."""
    root, groups = sets
    run_timm(tmp_path / "x", severities=(1,), sets=[root])
    network, transform = by_hand(timm_file)
    v2 = CellStore(tmp_path / "x/imagenet-v2-top-images").read(CLEAN)
    assert v2.samples["label"].tolist() == [0, 2, 10]
    assert v2.provenance.num_images_total == 10_000  # so that tables say LIMITED
    first, second = (CellStore(tmp_path / "x" / f"objectnet-113-{n}") for n in ("argmax", "cut"))
    for index, key in enumerate(("bin", "cup")):
        with Image.open(root / f"objectnet/images/{key}/0123456789abcde.png") as image:
            inner = image.crop((2, 2, image.width - 2, image.height - 2))
        with torch.inference_mode():
            logits = network(transform(inner)[None])[0]
        own = [logits[list(places)].max().item() for places in groups]
        of_best = [n for n, places in enumerate(groups) if logits.argmax().item() in places]
        found = [store.read(CLEAN).samples for store in (first, second)]
        assert [one["label"][index] for one in found] == [index, index]
        assert found[1]["prediction"][index] == int(np.argmax(own))
        assert found[0]["prediction"][index] == (of_best or [2])[0]
        mass = logits.double().softmax(0)[list(groups[index])].sum()
        assert found[0]["nll"][index] == pytest.approx(-mass.log().item(), rel=1e-3)
    assert first.provenance().classes == ("bin", "cup", "(none of them)")
    assert first.provenance().inference.startswith("2 pixels cut off on every side, center crop")
    with Image.open(next(root.glob("stylized-imagenet/val/*/*.png"))) as image:
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.inference_mode():
        chance = network(pixels)[0].softmax(0).max().item()  # neither resized nor cropped
    styled = CellStore(tmp_path / "x/stylized-imagenet").read(CLEAN)
    assert styled.samples["confidence"][0] == pytest.approx(chance, rel=1e-3)
    assert styled.provenance.inference.startswith("center crop 224 of 224 bilinear")
    clean = CellStore(tmp_path / "x/objectnet-113-cut-clean").read(CLEAN)
    assert sorted(clean.samples["label"].tolist()) == [0, 0, 0, 0, 1, 1]


def test_an_incomplete_set_is_refused(sets, run_timm, tmp_path):
    write_image(tmp_path / "one.JPEG", 1)
    for wnid in WNIDS:
        (tmp_path / "val" / wnid).mkdir(parents=True)
        os.link(tmp_path / "one.JPEG", tmp_path / "val" / wnid / "ILSVRC2012_val_00000001.JPEG")
    with pytest.raises(ValueError, match=r"ImageNet-V2 top-images: 3 classes .*--allow-missing"):
        run_timm(tmp_path / "x", root=tmp_path / "val", allow_missing=False, sets=[sets[0]])


def test_bfloat16_is_said(run_timm, tmp_path):
    store = CellStore(run_timm(tmp_path / "x", amp="bfloat16", severities=(1,)))
    assert store.provenance().inference == (
        "center crop 224 of 235 bilinear, mean 0.5/0.5/0.5 std 0.5/0.5/0.5, scoring cls, bfloat16"
    )


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"allow_missing": False}, "no images of 996 of the 1000 classes of ImageNet-1K"),
        ({"root": "none"}, "--data-root '.*none' does not exist; expected class folders in it"),
        ({"imagenet_a": "r"}, r"1 folders that are no class of ImageNet-A \(n01443537\)"),
        ({"imagenet_r": "none"}, "--imagenet-r '.*none' does not exist"),
        ({"imagenet_a": "val"}, "2 folders that are no class of ImageNet-A"),
        ({"corrupted_root": "none"}, "--corrupted-root '.*none' does not exist"),
        ({"corrupted_root": "val"}, "is the clean image folder"),
        (
            {"corrupted_root": "a"},
            r"cell 'gaussian_noise-1' is missing \(expected images in folder",
        ),
        ({"batch_size": 0}, "batch size must be at least 1, got 0"),
        ({"limit": 0}, "limit must be at least 1, got 0"),
        ({"resize_rule": "none"}, "resize rule must be one of .* got 'none'"),
        ({"resize_rule": "imagenet-c", "size": 96}, "the network takes 96"),
        ({"jpeg85": True, "corrupted_root": "a"}, "--jpeg85 is for images corrupted here"),
        ({"scoring": "cls_plus_max_token"}, "needs a token classifier"),
    ],
)
def test_what_is_refused(chosen, message, run_timm, imagenet, tmp_path):
    folders = {"imagenet_a", "imagenet_r", "corrupted_root"} & set(chosen)
    chosen = {**chosen, **{name: imagenet / chosen[name] for name in folders}}
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        run_timm(tmp_path / "x", **chosen)
    assert not os.path.exists(tmp_path / "x")


def test_folders_of_numbers_need_the_models_order(tmp_path, own_numbers, caplog):
    """Text order (10 before 2) and timm's natural order differ: labels would be wrong silently."""
    root, weights = own_numbers
    names = tmp_path / "names.txt"
    names.write_text("".join(f"{number}\n" for number in range(12)))

    def run(file):
        own = {"input_size": 32, "classes": file, "allow_missing": True}
        chosen = with_task_options({"corruptions": ("contrast",), "severities": (1,), **own,
                                    "workers": 0, "mode": "fast"})  # fmt: skip
        return sweep(TimmSource("test_resnet", weights, data_root=root), options=chosen,
                     work_dir=tmp_path / "x")  # fmt: skip

    with pytest.raises(ValueError, match=r"text order.* is 10, 11, 2, .*natural.* is 2, 3, 4, "):
        run(None)
    assert not (tmp_path / "x").exists()
    shutil.rmtree(root / "3")  # a folder of a part of the model's classes is numbered alike
    result = CellStore(run(names)).read(CLEAN)
    assert [int(key.split("/")[0]) for key in result.image_ids] == list(result.samples["label"])
    assert result.provenance.classes == tuple(map(str, range(12)))
    assert "--allow-missing: images of 11 of the 12 classes only" in result.provenance.notes
    assert "12 classes, in the order of --classes" in caplog.text


def test_a_described_network_names_its_classes(tmp_path, own_numbers):
    """A folder as timm's ``save_for_hf`` writes it: label names settle the order."""
    root, weights = own_numbers
    shutil.copy(weights, tmp_path / "pytorch_model.bin")
    names = [str(number) for number in reversed(range(12))]
    described = {"input_size": [3, 32, 32], "fixed_input_size": False, "label_names": names,
                 "first_conv": "conv1", "classifier": "fc", "num_classes": 12}  # fmt: skip
    (tmp_path / "config.json").write_text(
        json.dumps({"architecture": "test_resnet", "num_classes": 12, "pretrained_cfg": described})
    )
    options = SweepOptions(corruptions=("contrast",), severities=(1,), workers=0, mode="fast")
    source = TimmSource(f"local-dir:{tmp_path}", data_root=root)
    got = CellStore(sweep(source, work_dir=tmp_path / "x", options=options)).provenance()
    assert got.classes == tuple(names)


def test_a_checkpoint_with_class_to_idx_names_its_classes(tmp_path, own_numbers):
    root, weights = own_numbers
    content = {"state_dict": torch.load(weights), "class_to_idx": {str(n): n for n in range(12)}}
    torch.save(content, weights)
    options = SweepOptions(corruptions=("contrast",), severities=(1,), workers=0, mode="fast",
                           task_options={"input_size": 32})  # fmt: skip
    source = TimmSource("test_resnet", weights, data_root=root)
    got = CellStore(sweep(source, work_dir=tmp_path / "x", options=options)).provenance()
    assert got.classes == tuple(map(str, range(12)))
    torch.save({**content, "class_to_idx": {str(n): n + 1 for n in range(12)}}, weights)
    with pytest.raises(ValueError, match="class_to_idx does not number its classes from 0 on"):
        sweep(source, work_dir=tmp_path / "y", options=options)


@pytest.fixture
def own_numbers(tmp_path):
    """Images in folders 0 to 11, and weights of 12 classes."""
    for number in range(12):
        write_image(tmp_path / f"data/{number}/0.jpg", number, size=(40, 40))
    network = timm.create_model("test_resnet", num_classes=12)
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    return tmp_path / "data", tmp_path / "weights.pth"


def test_only_validation_images_are_called_imagenet(run_timm, imagenet, tmp_path):
    chosen = {"severities": (1,), "corruptions": ("contrast",)}
    got = CellStore(run_timm(tmp_path / "x", **chosen)).provenance()
    assert (got.dataset, got.imagenet_val) == ("ImageNet-1K", True)
    for number, file in enumerate((imagenet / "val").rglob("*.JPEG")):  # the same folders' names
        write_image(tmp_path / f"photos/{file.parent.name}/{number}.jpg", number)
    got = CellStore(run_timm(tmp_path / "y", root=tmp_path / "photos", **chosen)).provenance()
    assert (got.dataset, got.imagenet_val) == ("photos (1000 classes)", False)
    assert not any("ImageNet" in note for note in got.notes)


def test_a_network_of_some_classes_is_not_imagenets(imagenet, tmp_path):
    """To choose among four classes is easier than among 1000: AlexNet's errors are no measure."""
    network = timm.create_model("test_resnet", num_classes=4)
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    options = SweepOptions(corruptions=("contrast",), severities=(1,), workers=0, mode="fast")
    source = TimmSource("test_resnet", tmp_path / "weights.pth", data_root=imagenet / "val")
    got = CellStore(sweep(source, work_dir=tmp_path / "x", options=options)).provenance()
    assert "(4 classes)" in got.dataset
    assert not got.imagenet_val


def test_own_classes_are_no_imagenet_a(run_sweep, imagenet, tmp_path):
    with pytest.raises(ValueError, match="ImageNet-A is scored by the logits of ImageNet-1K's"):
        run_sweep(tmp_path / "x", imagenet_a=imagenet / "a")


def test_limit_and_skipped_images_are_recorded(run_sweep, config, tmp_path):
    got = CellStore(run_sweep(tmp_path / "x", limit=10, severities=(1,))).provenance()
    assert (got.num_images, got.num_images_total) == (10, 40)


class OwnSource(Source):
    """A network of the user's own, by the Python call, as nothing names its weights."""

    name, task = "mine", "classification"

    def __init__(self, network, root):
        self.network, self.root = network, root

    def open(self, options, task=None):
        return make_classifier(
            self.network, ViewOptions(), name=self.name, num_classes=3, recorded=None,
            folder=ClassFolders(self.root), view=View(32, 32, "bicubic"), settings={},
            data={"mean": (0.5,) * 3, "std": (0.5,) * 3},
        )  # fmt: skip


def test_a_second_network_does_not_get_the_first_ones_scores(tmp_path):
    """Also not where it differs in a buffer alone; the first one's sweep goes on."""
    for index, name in enumerate("abc"):
        (tmp_path / "val" / name).mkdir(parents=True)
        Image.new("RGB", (32, 32), (80 * index,) * 3).save(tmp_path / "val" / name / "1.png")
    torch.manual_seed(0)
    network = timm.create_model("test_resnet", num_classes=3)
    other = deepcopy(network)
    other.layer1[0].bn1.running_var += 0.5
    options = SweepOptions(corruptions=("contrast",), severities=(1,), workers=0)

    def score(chosen):
        return sweep(OwnSource(chosen, tmp_path / "val"), work_dir=tmp_path / "x", options=options)

    score(network)
    score(deepcopy(network))
    with pytest.raises(ValueError, match=r"results of another run \(checkpoint_sha256"):
        score(other)
