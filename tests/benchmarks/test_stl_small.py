"""The small study of what token labeling gives: its split, its memory, its figures, and a run."""

import dataclasses
import importlib
import io
import math
import os
import subprocess
import sys
import tarfile
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from stl_backbones.corruptions import corrupt, get_protocol
from stl_backbones.pretraining import STLClassifier
from stl_backbones.pretraining.frozen import load_labeler

CLASSES = ("blue", "green", "red")
FOG_3 = [cell.name for cell in get_protocol("cifar10-c").cells()].index("fog-3")
IMAGES = 20  # of each class: 2 of them are for testing


@pytest.fixture(scope="module")
def parts(repo_root):
    """The benchmark's own modules, which it imports from its own folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(repo_root / "benchmarks")
        yield SimpleNamespace(
            **{
                name: importlib.import_module(f"stl_small_{name}")
                for name in ("figures", "stages", "study")
            }
        )


def add_file(tar, name, content):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Noise with more of one channel than of the others."""
    path = tmp_path_factory.mktemp("archive") / "images.tar.gz"
    rng = np.random.default_rng(0)
    with tarfile.open(path, "w:gz") as tar:
        for channel, name in enumerate(CLASSES):
            for number in range(IMAGES):
                pixels = rng.integers(0, 90, (32, 32, 3), dtype=np.uint8)
                pixels[..., 2 - channel] += 120
                file = io.BytesIO()
                Image.fromarray(pixels).save(file, "JPEG")
                add_file(tar, f"train/{name}/{number:03d}.jpg", file.getvalue())
    return path


@pytest.fixture
def settings(parts):
    return parts.study.Settings(
        classes=2, train_per_class=8, test_per_class=2, epochs=2, warmup_epochs=1, batch_size=8
    )


def names(folder, split):
    return {path.relative_to(folder / split).as_posix() for path in folder.glob(f"{split}/*/*")}


def test_the_split_is_disjoint_and_as_large_as_asked(parts, archive, settings, tmp_path):
    counts = parts.stages.extract_images(archive, tmp_path / "data", settings)
    train, test = (names(tmp_path / "data", split) for split in ("train", "val"))
    assert counts == {"train": 16, "val": 4}
    assert (len(train), len(test), len(train & test)) == (16, 4, 0)
    assert {name.split("/")[0] for name in train | test} == {"blue", "green"}


def test_a_larger_study_never_trains_on_what_a_smaller_one_tests(
    parts, archive, settings, tmp_path
):
    small, large = tmp_path / "small", tmp_path / "large"
    parts.stages.extract_images(archive, small, dataclasses.replace(settings, test_per_class=1))
    everything = dataclasses.replace(settings, classes=3, train_per_class=18)
    parts.stages.extract_images(archive, large, everything)
    assert names(small, "val") < names(large, "val")
    assert names(small, "train") < names(large, "train")


def test_the_same_split_twice(parts, archive, settings, tmp_path):
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        parts.stages.extract_images(archive, folder, settings)
    one, two = map(parts.stages.folder_sha256, folders)
    assert one == two


@pytest.mark.parametrize("name", ["train/../../evil.jpg", "/evil/red/1.jpg", "train/.hidden/1.jpg"])
def test_no_name_leads_out_of_the_folder(parts, settings, tmp_path, name):
    path = tmp_path / "bad.tar"
    with tarfile.open(path, "w") as tar:
        add_file(tar, name, b"x")
    with pytest.raises(ValueError, match=r"plain files.*got '"):
        parts.stages.extract_images(path, tmp_path / "data", settings)
    assert [entry.name for entry in tmp_path.iterdir()] == ["bad.tar"]


def test_a_link_is_no_image(parts, settings, tmp_path):
    path = tmp_path / "bad.tar"
    with tarfile.open(path, "w") as tar:
        member = tarfile.TarInfo("train/red/1.jpg")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(member)
    with pytest.raises(ValueError, match="plain files"):
        parts.stages.extract_images(path, tmp_path / "data", settings)


def test_too_few_images(parts, archive, settings, tmp_path):
    wanted = dataclasses.replace(settings, test_per_class=3)
    with pytest.raises(ValueError, match=r"'blue' has 2 images for 'val', expected at least 3"):
        parts.stages.extract_images(archive, tmp_path / "data", wanted)


def test_a_damaged_archive(parts, archive, settings, tmp_path):
    path = tmp_path / "half.tar.gz"
    path.write_bytes(archive.read_bytes()[:5000])
    with pytest.raises(ValueError, match="cannot be read"):
        parts.stages.extract_images(path, tmp_path / "data", settings)


def test_a_folder_of_other_settings_is_refused(parts, archive, settings, tmp_path):
    study = parts.study.Study(tmp_path)
    study.begin(settings, archive)
    study.begin(settings, archive)
    with pytest.raises(ValueError, match=r"other settings: epochs 2 \(now 3\), lr 0.001 \(now 1"):
        study.begin(dataclasses.replace(settings, epochs=3, lr=1.0), archive)
    assert study.settings() == settings


def test_a_stage_that_rests_on_another_file_is_refused(parts, archive, settings, tmp_path):
    study = parts.study.Study(tmp_path)
    study.begin(settings, archive)
    assert study.read("labeler-seed0", rests_on={"data": "a"}) == {}
    study.write("labeler-seed0", {"minutes": 1.5}, rests_on={"data": "a"})
    assert study.read("labeler-seed0", rests_on={"data": "a"})["minutes"] == 1.5
    with pytest.raises(ValueError, match="'labeler-seed0' was made from other files"):
        study.read("labeler-seed0", rests_on={"data": "b"})


def test_minutes_of_parts_are_added(parts, archive, settings, tmp_path):
    study = parts.study.Study(tmp_path)
    study.begin(settings, archive)
    assert study.add_minutes("labeler-seed0", 1.5) == 1.5
    assert study.add_minutes("labeler-seed0", 2.0) == 3.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": 1}, "classes must be at least 2, got 1"),
        ({"epochs": 1}, r"epochs must be more than 1 \(the warm-up\), got 1"),
        ({"batch_size": 17}, r"batch_size must be at most 16 \(the training images\), got 17"),
    ],
)
def test_settings_that_cannot_be(settings, change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(settings, **change)


def test_image_steps_leave_out_what_fills_no_batch(settings):
    assert dataclasses.replace(settings, batch_size=6).image_steps() == 2 * 12
    assert dataclasses.replace(settings, batch_size=6).image_steps(2) == 4 * 12


def test_a_training_stops_between_epochs_only(parts):
    hook = parts.stages.StopAtDeadline(deadline=0.0)
    with pytest.raises(parts.study.TimeIsUpError):
        hook.after_train_epoch(SimpleNamespace(epoch=0, max_epochs=2))
    hook.after_train_epoch(SimpleNamespace(epoch=1, max_epochs=2))  # it ends anyway
    parts.stages.StopAtDeadline(deadline=math.inf).after_train_epoch(
        SimpleNamespace(epoch=0, max_epochs=2)
    )


def test_cells_are_those_of_the_benchmark_with_a_key_of_their_own(
    parts, archive, settings, tmp_path
):
    study = parts.study.Study(tmp_path)
    study.begin(settings, archive)
    parts.stages.extract_images(archive, study.data, settings)
    parts.stages.corrupt_images(study, tmp_path / "cells.npy")
    cells, files = np.load(tmp_path / "cells.npy"), parts.stages.list_images(study, "val")
    assert cells.shape == (96, 4, 32, 32, 3)
    assert [label for _, label in files] == [0, 0, 1, 1]
    path, _ = files[2]
    pixels = np.asarray(Image.open(path).convert("RGB"))
    assert np.array_equal(cells[0, 2], pixels)
    key = f"green/{path.name}"
    shown = corrupt(pixels, "fog", 3, key=key, mode="fast", strengths="cifar10")
    assert np.array_equal(cells[FOG_3, 2], shown)


def test_a_plain_network_labels_tokens_by_its_class_head(parts, tmp_path):
    torch.manual_seed(0)
    plain = STLClassifier("mini_vit", num_classes=3, released_norm=False)
    state = {"state_dict": plain.state_dict(), "meta": {"stl_backbones": plain.card()}}
    torch.save(state, tmp_path / "plain.pth")
    path = parts.stages.with_token_head(tmp_path / "plain.pth", tmp_path / "labeler.pth")
    images = torch.randn(2, 3, 32, 32)
    logits = load_labeler(path).token_logits(images, grid=(8, 8))
    tokens = plain.backbone.eval().forward_features(images)[:, 1:]
    assert torch.allclose(logits, plain.backbone.head(tokens), atol=1e-5)


@pytest.fixture
def right(parts):
    """2 images: both right clean; of the noisy cells one, of the others none."""
    cells = np.zeros((len(parts.figures.CELLS), 2))
    cells[0] = 1
    for at, cell in enumerate(parts.figures.CELLS):
        if "noise" in cell.corruption:
            cells[at, 0] = 1
    return cells


def test_columns_by_hand(parts, right):
    """4 of the 19 corruptions are noise: (100 + 0) / 2 * 4 / 19."""
    (row,) = parts.figures.columns_of(right[None], np.full((1, 2), 0.5), np.ones((1, 1)))
    corrupted = 50 * 4 / 19
    assert dict(zip(parts.figures.COLUMNS, row, strict=True)) == pytest.approx(
        {
            "clean": 100,
            "corrupted": corrupted,
            "retention": corrupted / 100,
            "noise": 50,
            "blur": 0,
            "weather": 0,
            "digital": 0,
        }
    )


def draw_answers(parts, share, *, images=400, seed=0):
    rng = np.random.default_rng(seed)
    return rng.random((3, len(parts.figures.CELLS), images)) < share


def test_an_interval_is_as_wide_as_theory_says(parts):
    """One seed's clean accuracy is a binomial share: +- 1.96 sqrt(p q / n)."""
    answers = draw_answers(parts, 0.7)[:1]
    clean = parts.figures.make_figures({"class_only/cls": answers})["rows"]["class_only/cls"]
    p = answers[0, 0].mean()
    figure = clean["clean"]
    assert figure["mean"] == pytest.approx(100 * p)
    expected = 196 * math.sqrt(p * (1 - p) / 400)
    assert (figure["high"] - figure["low"]) / 2 == pytest.approx(expected, rel=0.06)


def test_equal_networks_differ_by_exactly_nothing(parts):
    answers = draw_answers(parts, 0.5)
    both = {"class_only/cls": answers, "student/cls": answers}
    found = parts.figures.make_figures(both)["differences"]["student/cls - class_only/cls"]
    assert all((f["mean"], f["low"], f["high"]) == (0, 0, 0) for f in found.values())


def test_a_paired_difference_is_narrower_than_its_parts(parts):
    """Two networks that differ on one image in ten."""
    answers = draw_answers(parts, 0.5, images=200)
    better = answers.copy()
    better[..., :20] = True
    figures = parts.figures.make_figures({"class_only/cls": answers, "student/cls": better})
    one = figures["rows"]["student/cls"]["clean"]
    gain = figures["differences"]["student/cls - class_only/cls"]["clean"]
    assert gain["low"] > 0
    assert gain["high"] - gain["low"] < one["high"] - one["low"]
    assert np.mean(gain["seeds"]) == pytest.approx(gain["mean"])


def test_an_interval_covers_the_choice_of_seeds(parts):
    """Two trainings: the mean of both may be either's."""
    answers = np.stack([np.full((len(parts.figures.CELLS), 9), right) for right in (0.75, 0.25)])
    figure = parts.figures.make_figures({"student/cls": answers})["rows"]["student/cls"]["clean"]
    assert [figure[name] for name in ("mean", "low", "high")] == pytest.approx([50, 25, 75])


def test_right_answers_are_counted_by_cell(parts):
    answers = draw_answers(parts, 0.5)
    counts = parts.figures.make_figures({"student/cls": answers})["cells"]["student/cls"]
    assert counts["fog-3"] == answers[:, FOG_3].sum(axis=1).tolist()


def test_the_table_rounds_and_signs(parts):
    figure = {"mean": 12.345, "low": -1.0, "high": 20.05, "seeds": [12.3, 12.4]}
    row = dict.fromkeys(parts.figures.COLUMNS, figure)
    page = parts.figures.render(
        {
            "seeds": [0, 1],
            "rows": {"student/cls_plus_max_token": row},
            "differences": {"student/cls - class_only/cls": row},
            "cost": {"student": [{"image_steps": 19200, "minutes": 6.04}]},
            "labels": [],
        }
    )
    assert "| (d) student of (c) + tokens | 12.3 [-1.0, 20.1] |" in page
    assert "| student of (c) - class labels only | +12.3 [-1.0, +20.1] |" in page
    assert "| +12.345 [-1.000, +20.050] |" in page
    assert "| (d) student of (c) | 19,200 | 6.0 |" in page


@pytest.fixture
def run_study(repo_root, archive, tmp_path):
    def run(*words, timeout=300):
        return subprocess.run(
            [sys.executable, "benchmarks/stl_small.py", *words, "--work-dir", str(tmp_path / "w")],
            cwd=repo_root,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


@pytest.mark.slow
def test_a_study_goes_on_where_it_stopped(run_study, archive, tmp_path):
    tiny = [
        str(archive), "--classes", "2", "--train-per-class", "8", "--test-per-class", "2",
        "--epochs", "2", "--warmup-epochs", "1", "--batch-size", "8", "--seeds", "0",
    ]  # fmt: skip
    stopped = run_study(*tiny, "--time-limit", "0")
    assert (stopped.returncode, stopped.stderr.count("time limit reached")) == (3, 1)
    none_yet = run_study("--report", "--seeds", "0")
    assert none_yet.returncode == 2
    assert "no seed of [0] is finished" in none_yet.stderr
    done = run_study(*tiny)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("seed0: training") == 6
    again = run_study(*tiny)
    assert again.returncode == 0
    assert "training" not in again.stdout.partition("|")[0]
    assert again.stdout == (tmp_path / "w/tables.md").read_text() + "\n"
    other = run_study(*tiny, "--lr", "0.1")
    assert other.returncode == 2
    assert "lr 0.001 (now 0.1)" in other.stderr
