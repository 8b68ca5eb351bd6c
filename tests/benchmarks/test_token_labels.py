"""The study of token labels: its crops and masks, its views, its labelers, its figures, a run."""

import importlib
import json
import math
import os
import subprocess
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import timm
import torch
from PIL import Image

from stl_backbones.pretraining import STLPreprocessor, TokenLabeler
from stl_backbones.pretraining.mixing import Mixing

NAMES = ("data", "figures", "scoring", "study", "training")


@pytest.fixture(scope="module")
def parts(repo_root):
    """The benchmark's own modules, which it imports from its own folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(repo_root / "benchmarks")
        yield SimpleNamespace(
            main=importlib.import_module("token_labels"),
            **{name: importlib.import_module(f"token_labels_{name}") for name in NAMES},
        )


@pytest.fixture
def settings(parts):
    return parts.study.Settings(
        classes=2, train_per_class=4, test_per_class=4, size=64, epochs=3, batch_size=4
    )


@pytest.fixture
def study(parts, settings, tmp_path):
    """A work folder whose crops are bright where their object is, and dark elsewhere."""
    study = parts.study.TokenStudy(tmp_path / "work")
    study.compare(vars(settings))
    for number in range(4):
        for name in ("bike", "car"):
            mask = np.zeros((64, 64), bool)
            mask[8 + 4 * number : 48, 16:40] = True
            image = np.where(mask[..., None], np.uint8(250), np.uint8(5)).repeat(3, axis=2)
            crops = [parts.data.Crop(image, mask)]
            parts.data.write_crops(study.data, "val", f"{name}", crops)
            for folder, ending in (("imagenet", "JPEG"), ("imagenet_masks", "png")):
                path = study.data / folder / "val" / name
                (path / f"{name}_000000.{ending}").rename(path / f"x{number}.{ending}")
    return study


# ------------------------------------------------------------------ crops


def test_generated_crops_have_masks(parts, settings, tmp_path):
    counts = parts.data.write_generated(tmp_path / "data", settings)
    assert counts == {"train": 8, "val": 8}
    crops = sorted((tmp_path / "data/imagenet").glob("*/*/*"))
    assert {crop.parent.name for crop in crops} == {"bicycle", "bus"}
    shown = parts.data.render_object("bus", parts.data.VAL_OFFSET + 1, size=64)
    path = tmp_path / "data/imagenet/val/bus/bus_000001.JPEG"
    np.testing.assert_array_equal(parts.data.read_mask(path), shown.mask)


@pytest.fixture
def coco(tmp_path):
    """Six images of 80x60; each has a cup of 30x24 at (10, 20), a pen of 24x30 and a small one."""
    folder = tmp_path / "coco"
    (folder / "some").mkdir(parents=True)
    (folder / "annotations").mkdir()
    images, annotations = [], []
    for number in range(1, 7):
        pixels = np.full((60, 80, 3), 40, np.uint8)
        pixels[20:44, 10:40] = (200, 0, 0)
        pixels[25:55, 50:74] = (0, 200, 0)
        Image.fromarray(pixels).save(folder / f"some/{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "width": 80, "height": 60})
        boxes = {1: (10, 20, 30, 24), 2: (50, 25, 24, 30), 3: (0, 0, 9, 9)}
        for category, (x, y, w, h) in boxes.items():
            polygon = [x, y, x + w, y, x + w, y + h, x, y + h]
            annotations.append(
                {
                    "id": len(annotations) + 1, "image_id": number, "category_id": category,
                    "bbox": [x, y, w, h], "area": w * h, "iscrowd": 0, "segmentation": [polygon],
                }
            )  # fmt: skip
    names = ("cup", "blue pen", "dot")
    categories = [{"id": index, "name": name} for index, name in enumerate(names, start=1)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations/instances_some.json").write_text(json.dumps(content))
    return folder


def test_coco_crops_are_centred_squares_with_the_objects_mask(parts, coco, settings, tmp_path):
    """The cup's square has a side of 30 * 1.5 = 45 px: it begins at column 2 and row 10."""
    files = parts.data.find_coco(coco)
    counts = parts.data.write_coco(tmp_path / "data", files, settings)
    assert counts == {"train": 8, "val": 4}  # 4 and 2 images, cup and pen; the dot is too small
    path = next((tmp_path / "data/imagenet/train/cup").iterdir())
    mask = parts.data.read_mask(path)
    rows, columns = np.nonzero(mask)
    scale = 64 / 45
    found = (columns.min(), columns.max() + 1, rows.min(), rows.max() + 1)
    expected = ((10 - 2) * scale, (40 - 2) * scale, (20 - 10) * scale, (44 - 10) * scale)
    assert found == pytest.approx(expected, abs=1)
    image = np.asarray(Image.open(path))
    assert image[mask].mean(axis=0) == pytest.approx((200, 0, 0), abs=12)
    assert image[~mask][:, 0].mean() < 60
    assert (tmp_path / "data/imagenet/val/blue_pen").is_dir()


def test_crops_of_an_image_are_all_for_training_or_all_for_scoring(
    parts, coco, settings, monkeypatch, tmp_path
):
    used = []
    crop_object = parts.data.crop_object
    monkeypatch.setattr(
        parts.data, "crop_object", lambda one, size: used.append(one) or crop_object(one, size)
    )
    parts.data.write_coco(tmp_path / "data", parts.data.find_coco(coco), settings)
    train = {one["path"] for one in used[:8]}
    val = {one["path"] for one in used[8:]}
    assert (len(train), len(val), train & val) == (4, 2, set())


@pytest.mark.parametrize("as_string", [False, True])
def test_a_run_length_mask_is_that_of_its_polygon(parts, coco, as_string):
    (file,) = parts.data.find_coco(coco)
    cup = json.loads(file.path.read_text())["annotations"][0]
    cup["path"] = coco / "some/1.png"
    wanted = parts.data.crop_object(cup, 64).mask
    runs = [10 * 60 + 20, *[24, 36] * 29, 24, 80 * 60 - 39 * 60 - 44]
    code = {"size": [60, 80], "counts": runs}
    if as_string:
        code = parts.data.coco_mask.frPyObjects(code, 60, 80)
    np.testing.assert_array_equal(
        parts.data.crop_object({**cup, "segmentation": code}, 64).mask, wanted
    )


def test_a_coco_folder_without_annotations(parts, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"expected annotations/instances_<name>\.json"):
        parts.data.find_coco(tmp_path)


def test_a_coco_file_without_objects(parts, coco, settings, tmp_path):
    (file,) = parts.data.find_coco(coco)
    content = json.loads(file.path.read_text())
    file.path.write_text(json.dumps({**content, "annotations": []}))
    with pytest.raises(ValueError, match=r"instances_some\.json' holds no objects"):
        parts.data.write_coco(tmp_path / "data", [file], settings)


def test_a_coco_file_of_too_few_categories(parts, coco, settings, tmp_path):
    wanted = parts.study.Settings(**{**vars(settings), "classes": 3})
    with pytest.raises(ValueError, match=r"2 categories have objects .* expected at least 3"):
        parts.data.write_coco(tmp_path / "data", parts.data.find_coco(coco), wanted)


def test_a_crop_without_a_mask(parts, study):
    (study.data / "imagenet_masks/val/car/x2.png").unlink()
    with pytest.raises(FileNotFoundError, match="every crop in 'imagenet' needs one in 'imagenet_"):
        list(parts.scoring.batches(study))


# ------------------------------------------------------------------ views


def test_the_mask_follows_the_geometry_of_the_spatial_view(parts, study):
    ((images, labels, masks),) = parts.scoring.batches(study, parts.scoring.VIEWS["spatial"])
    bright = images[:, 0].numpy() > 1
    assert labels.tolist().count(0) == labels.tolist().count(1) == 4
    overlap = (bright & masks).sum() / (bright | masks).sum()
    assert overlap > 0.93  # fill of the moved borders is grey, and edges are smoothed
    plain = next(iter(parts.scoring.batches(study)))[2]
    assert (plain != masks).any()


def test_all_views_of_one_crop_share_their_geometry(parts, study):
    views = parts.scoring.VIEWS
    masks = [
        next(iter(parts.scoring.batches(study, views[name])))[2]
        for name in ("spatial", "rand_augment", "erasing")
    ]
    np.testing.assert_array_equal(masks[0], masks[1])
    np.testing.assert_array_equal(masks[0], masks[2])


def test_views_differ_in_what_they_share(parts, study):
    shown = {
        name: next(iter(parts.scoring.batches(study, view)))[0]
        for name, view in parts.scoring.VIEWS.items()
    }
    others = [name for name in shown if name != "spatial"]
    assert not [name for name in others if torch.equal(shown[name], shown["spatial"])]


def test_a_cutmixed_crop_is_right_where_its_own_class_still_shows(parts):
    masks = np.zeros((2, 4, 4), bool)
    masks[0, 1:3, :] = True
    masks[1, :, 1:3] = True
    box = Mixing("cutmix", 0.75, rows=(0, 2), columns=(0, 2))
    labels, shown = parts.scoring._truth(np.array([3, 5]), masks, box)
    assert labels.tolist() == [3, 5]
    expected = masks.copy()
    expected[:, :2, :2] = False
    np.testing.assert_array_equal(shown, expected)
    _, same = parts.scoring._truth(np.array([3, 3]), masks, box)
    expected[:, :2, :2] = masks[::-1, :2, :2]
    np.testing.assert_array_equal(same, expected)


@pytest.mark.parametrize(("kept", "order"), [(0.6, [0, 1]), (0.4, [1, 0])])
def test_a_mixup_has_the_class_and_the_mask_of_the_larger_share(parts, kept, order):
    masks = np.arange(8).reshape(2, 2, 2) % 3 == 0
    labels, shown = parts.scoring._truth(np.array([3, 5]), masks, Mixing("mixup", kept))
    assert labels.tolist() == [(3, 5)[index] for index in order]
    np.testing.assert_array_equal(shown, masks[order])


def test_the_preprocessor_says_how_it_mixed():
    preprocess = STLPreprocessor(2, mixup_alpha=0.8, cutmix_alpha=0, erase_prob=0)
    batch = {"student": torch.zeros(2, 3, 8, 8, dtype=torch.uint8), "label": torch.tensor([0, 1])}
    batch["student"][0] = 255
    images = preprocess({**batch, "path": ["a", "b"]}, training=True)["inputs"]["student"]
    plain = preprocess({**batch, "path": ["a", "b"]})["inputs"]["student"]
    assert preprocess.last_mixing == Mixing()
    preprocess.batches.zero_()
    preprocess.load_state_dict(preprocess.state_dict())  # the first batch once more
    preprocess({**batch, "path": ["a", "b"]}, training=True)
    mixing = preprocess.last_mixing
    assert mixing.kind == "mixup"
    expected = mixing.kept * plain[0] + (1 - mixing.kept) * plain[1]
    torch.testing.assert_close(images[0], expected)


# ------------------------------------------------------------------ labelers


def test_class_token_alone_and_stopped_gradients_train_one_trunk():
    """So that A.1's 'cls' needs no training of its own."""
    weights = {}
    for mode in ("cls", "cls_and_gap_stopgrad"):
        torch.manual_seed(3)
        model = TokenLabeler("mini_hybrid", num_classes=3, loss_mode=mode, released_norm=False)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(4))
        for _ in range(2):
            optimizer.zero_grad()
            losses = model.losses({"student": images}, torch.eye(3)[[0, 1, 2, 0]])
            sum(losses.values()).backward()
            optimizer.step()
        weights[mode] = dict(model.backbone.named_parameters())
    one, other = weights.values()
    differ = {name for name in one if not torch.equal(one[name], other[name])}
    assert differ == {"aux_head.weight", "aux_head.bias"}


def test_a_cnns_mean_location_is_its_own_class(parts):
    model = parts.training.LocationClassifier(
        "test_resnet", num_classes=3, enlarge=1, data_preprocessor=None
    ).eval()
    own = timm.create_model("test_resnet", num_classes=3).eval()
    own.load_state_dict(model.backbone.model.state_dict())
    images = torch.randn(2, 3, 64, 64)
    grid = model.backbone
    with torch.no_grad():
        samples = model.predictions(images, labels=torch.tensor([0, 1]), paths=["a", "b"])
        expected = own(images * grid.scale + grid.shift)
    found = torch.stack([sample["class_logits"] for sample in samples])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


# ------------------------------------------------------------------ figures


def test_best_places_by_hand(parts):
    """Of the sets {a}, {a, b}, {a, b, c}: IoU 3/6, 5/8 and 6/11 with the objects' 5 + 1 tokens."""
    foreground = np.zeros((3, 1, 4), bool)
    foreground[:, 0, 1] = True
    foreground[:2, 0, 2] = True
    foreground[0, 0, 3] = True
    assert parts.figures.best_places(foreground).tolist() == [[False, True, True, False]]


@pytest.mark.parametrize(
    ("low", "high", "seeds", "verdict"),
    [
        (0.1, 0.3, [0.1, 0.2], "holds"),
        (0.1, 0.3, [0.4, -0.1], "not seen"),
        (-0.1, 0.3, [0.1, 0.2], "not seen"),
        (-0.3, -0.1, [-0.1, -0.2], "the opposite"),
        (None, None, [0.1, None], "not seen"),
    ],
)
def test_when_a_claim_holds(parts, low, high, seeds, verdict):
    figure = {"mean": 0.2, "low": low, "high": high, "seeds": seeds}
    assert parts.figures.judge(figure) == verdict


@pytest.mark.parametrize(
    ("low", "high", "seeds", "verdict"),
    [
        (-0.01, 0.015, [0.01, -0.01], "holds"),
        (-0.01, 0.03, [0.01, -0.01], "not seen"),
        (-0.01, 0.015, [0.01, -0.05], "not seen"),
        (0.03, 0.05, [0.04, 0.05], "the opposite"),
    ],
)
def test_when_a_claim_of_no_difference_holds(parts, low, high, seeds, verdict):
    figure = {"mean": 0.01, "low": low, "high": high, "seeds": seeds}
    assert parts.figures.judge(figure, equal=True) == verdict


def draw_labels(*, right, seed, crops=40, confidence=0.9):
    """Tokens of 3 classes that say the image's class on the object so often, and 1 in 10 off it."""
    rng = np.random.default_rng(seed)
    foreground = rng.random((crops, 3, 3)) < 0.4
    labels = rng.integers(3, size=crops)
    says = rng.random(foreground.shape) < np.where(foreground, right, 0.1)
    classes = np.where(says, labels[:, None, None], (labels[:, None, None] + 1) % 3)
    sure = np.where(foreground, confidence, 0.5)
    rest = ((1 - sure) / 2)[..., None]
    probabilities = np.where(np.arange(3) == classes[..., None], sure[..., None], rest)
    return {"labels": labels, "foreground": foreground, "probabilities": probabilities}


@pytest.fixture(scope="module")
def figures(parts):
    """Three seeds: cls_and_gap labels well, all others badly and at random."""
    found = []
    for seed in range(3):
        one = {}
        names = [*parts.scoring.LABELERS, *(f"view:{view}" for view in parts.scoring.VIEWS)]
        for name in names:
            good = name in ("cls_and_gap", "view:spatial")
            drawn = draw_labels(right=0.9 if good else 0.1, seed=seed)
            one |= {f"{name}/{key}": value for key, value in drawn.items()}
            one |= {f"{name}/correct": np.arange(40) < 30, f"{name}/pooled_correct": np.ones(40)}
        found.append(one)
    return parts.figures.make_figures(found, np.ones((3, 3), bool), resamples=200)


def test_rows_are_means_of_seeds_with_an_interval(figures):
    row = figures["rows"]["cls_and_gap"]["iou"]
    assert row["mean"] == pytest.approx(np.mean(row["seeds"]))
    assert row["low"] < row["mean"] < row["high"]
    assert len(row["seeds"]) == 3
    assert figures["accuracy"]["gap"]["class_token"] == [0.75] * 3
    assert figures["tokens"]["grid"] == [3, 3]


def test_confidences_by_hand(figures):
    """0.9 on the object, 0.5 off it, 40 % of the tokens are on it."""
    row = figures["rows"]["cls_and_gap"]
    assert row["confidence_right"]["mean"] == pytest.approx(0.9)
    assert row["confidence_wrong"]["mean"] == pytest.approx(0.5)
    share = figures["tokens"]["on_object"]
    assert row["confidence"]["seeds"][0] == pytest.approx(0.9 * share + 0.5 * (1 - share))


def test_a_row_of_fixed_places_scores_their_share(figures):
    rows = figures["rows"]
    assert rows["everywhere"]["iou"]["seeds"][0] == pytest.approx(figures["tokens"]["on_object"])
    assert rows["places"]["recall"]["mean"] == 1


def test_claims_of_what_was_put_in(figures):
    verdicts = {claim["claim"]: claim["verdict"] for claim in figures["claims"]}
    assert verdicts["token labels show the object"] == "holds"
    assert verdicts["both losses are needed"] == "holds"
    assert verdicts["right foreground labels are surer than wrong ones"] == "holds"
    assert verdicts["with stopped gradients all confidences are high"] == "not seen"
    assert verdicts["all four in the labeler's view: labels are worse"] == "holds"
    claim = figures["claims"][0]
    row = figures["rows"]["cls_and_gap"]
    expected = row["iou"]["mean"] - row["iou_chance"]["mean"]
    assert claim["mean"] == pytest.approx(expected)


def test_figures_are_json_and_tables_have_all_rows(parts, figures):
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    tables = parts.figures.render(figures)
    for title in parts.figures.TITLES.values():
        assert f"| {title} |" in tables
    for view in parts.scoring.VIEWS.values():
        assert f"| {view.title} |" in tables
    assert tables.count("| holds |") >= 4


def test_numbers_in_a_table(parts):
    figure = {"mean": 0.12345, "low": -1.0, "high": 0.2, "seeds": [0.1]}
    assert parts.figures._cell(figure, "+") == "+0.123 [-1.000, +0.200]"
    assert parts.figures._cell({**figure, "mean": None}) == "-"
    assert parts.figures._cell({**figure, "low": 0.5, "high": 0.5}) == "0.123"


@pytest.mark.parametrize("name", ["token_labels"])
def test_the_pages_tables_are_those_of_the_results(parts, repo_root, name):
    results = json.loads((repo_root / f"benchmarks/results/{name}.json").read_text())
    page = (repo_root / "docs/token_labels.md").read_text().splitlines()
    lines = [line for line in parts.figures.render(results).splitlines() if line]
    assert len(lines) > 40
    assert not [line for line in lines if line not in page]


# ------------------------------------------------------------------ the command


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": "flickr"}, "source must be one of generated, coco, got 'flickr'"),
        ({"classes": 1}, "classes must be at least 2, got 1"),
        ({"size": 16}, "size must be at least 32, got 16"),
        ({"epochs": 1}, r"epochs must be more than 1 \(the warm-up\), got 1"),
        ({"share": 0}, "share must be above 0 and at most 1, got 0"),
    ],
)
def test_settings_that_cannot_be(parts, change, message):
    with pytest.raises(ValueError, match=message):
        parts.study.Settings(**change)


def test_a_folder_of_other_settings_is_refused(parts, tmp_path):
    words = ["--work-dir", str(tmp_path), "--time-limit", "0", "--train-per-class", "1"]
    words += ["--test-per-class", "1", "--size", "32"]
    assert parts.main.main(parts.main.parse().parse_args(words)) == parts.main.EXIT_UNFINISHED
    other = parts.main.parse().parse_args([*words, "--lr", "0.5"])
    with pytest.raises(ValueError, match=r"other settings: lr 0.001 \(now 0.5\)"):
        parts.main.main(other)
    report = parts.main.parse().parse_args([*words, "--report"])
    with pytest.raises(ValueError, match=r"no seed of .* is finished"):
        parts.main.main(report)


@pytest.mark.slow
def test_a_study_goes_on_where_it_stopped(repo_root, tmp_path):
    tiny = [
        sys.executable, "benchmarks/token_labels.py", "--work-dir", str(tmp_path / "w"),
        "--classes", "3", "--train-per-class", "8", "--test-per-class", "4", "--size", "32",
        "--epochs", "3", "--batch-size", "8", "--seeds", "0",
    ]  # fmt: skip

    def run(*words):
        return subprocess.run(
            [*tiny, *words], cwd=repo_root, env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip

    stopped = run("--time-limit", "0")
    assert (stopped.returncode, stopped.stderr.count("time limit reached")) == (3, 1)
    done = run()
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("seed0: training") == 4
    figures = json.loads((tmp_path / "w/figures.json").read_text())
    assert all(math.isfinite(v) for v in figures["minutes"].values())
    again = run()
    assert again.returncode == 0
    assert "training" not in again.stdout.partition("|")[0]
    assert again.stdout == (tmp_path / "w/tables.md").read_text() + "\n"
    mask = next((tmp_path / "w/data/imagenet_masks/val/bus").iterdir())
    cv2.imwrite(str(mask), np.zeros((32, 32), np.uint8))
    changed = run()
    assert changed.returncode == 2
    assert "was made from other files" in changed.stderr
