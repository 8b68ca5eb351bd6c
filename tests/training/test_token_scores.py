"""Token labels scored by masks: from image files to tables, JSON and pictures."""

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

import stl_backbones as stl
from stl_backbones.cli.token_tables import token_tables
from stl_backbones.datasets.object_masks import open_masks
from stl_backbones.metrics.token_labels import TOKEN_SCORES, TokenSample, score_token_labels
from stl_backbones.models import FAN, get_variant
from stl_backbones.models.hashing import file_sha256
from stl_backbones.pretraining.frozen import FANGrid, FrozenLabeler
from stl_backbones.pretraining.preprocessor import MEAN, STD
from stl_backbones.training.token_labels import draw_token_labels
from stl_backbones.training.token_maps import PictureOptions, find_images, label_images
from stl_backbones.training.token_scores import TokenScorer

CLASSES = ("cat", "dog", "newt")
RED, GREEN = (255, 0, 0), (0, 255, 0)


class Eye(torch.nn.Module):
    """A FAN that knows cats by red and dogs by green, patch by patch; 88 % sure of each."""

    variant = get_variant("tiny_vit")
    token_grid = FAN.token_grid

    def forward(self, inputs):
        pixels = inputs * torch.tensor(STD).view(3, 1, 1) + torch.tensor(MEAN).view(3, 1, 1)
        patches = torch.nn.functional.avg_pool2d(pixels, 16).flatten(2).transpose(1, 2)
        logits = patches / 255 * math.log(15)
        return logits.mean(dim=1), logits


@pytest.fixture
def eye():
    return FrozenLabeler(
        FANGrid(Eye()), num_classes=3, classes=CLASSES, card={"file": "eye", "sha256": "0"}
    )


@pytest.fixture
def scenes(tmp_path):
    """Wide images of 128x64, red on the left, and masks of what is red; the view is 32x32."""
    for kind, name in (("cat", "a"), ("cat", "b"), ("dog", "c")):
        pixels = np.zeros((64, 128, 3), np.uint8)
        pixels[:] = GREEN
        pixels[:, :64] = RED
        mask = (pixels[..., 0] if kind == "cat" else pixels[..., 1]).copy()
        if name == "b":
            mask[32:] = 0  # the lower half of what is red is no cat
        for root, values, end in (("images", pixels, "png"), ("masks", mask, "png")):
            path = tmp_path / root / kind / f"{name}.{end}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(path)
    return tmp_path


def score(labeler, scenes, **options):
    chosen = PictureOptions(size=32, **options)
    masks = scenes / "masks"
    scorer = TokenScorer(labeler, chosen, masks)
    paths = find_images([scenes / "images"])
    for one in label_images(labeler, paths, masks=open_masks(masks), options=chosen, title="x"):
        scorer.add(one)
    return scorer.result()


def test_masks_follow_the_images(eye, scenes):
    """The view's left half is red. Right but for the lower half of image b."""
    result = score(eye, scenes)
    found = result.scores["clean"]
    sums = found.counts
    assert (sums.images, sums.tokens, sums.on_object, sums.labelled, sums.both) == (3, 12, 5, 6, 5)
    assert found.overall["iou"].value == pytest.approx(5 / 6)
    assert found.overall["recall"].value == 1
    assert found.by_class[0]["precision"].value == pytest.approx(3 / 4)
    assert found.by_class[1]["iou"].value == 1
    sure = 15 / 17  # softmax of log 15, 0, 0; less by what the resizing blends
    assert found.overall["kept_on_object"].value == pytest.approx(sure, abs=0.005)
    drawn = 5 * sure / (6 * sure + 6 / 17)
    assert found.overall["drawn_precision"].value == pytest.approx(drawn, abs=0.005)
    assert [(one["image"], one["class"], one["clean"]["iou"]) for one in result.images] == [
        ("cat/a.png", "cat", 1), ("cat/b.png", "cat", 0.5), ("dog/c.png", "dog", 1),
    ]  # fmt: skip


def test_a_corruption_is_scored_beside_the_clean_images(eye, scenes):
    result = score(eye, scenes, corruption="contrast", severity=5)
    assert list(result.scores) == ["clean", "contrast-5"]
    confident = [found.overall["kept_on_object"].value for found in result.scores.values()]
    assert confident[0] > confident[1]


def test_a_share_decides_what_is_on_the_object(eye, scenes):
    mask = np.zeros((64, 128), np.uint8)
    mask[:48, :64] = 255  # three quarters
    Image.fromarray(mask).save(scenes / "masks/cat/b.png")
    for share, count in ((0.5, 6), (0.6, 5)):
        assert score(eye, scenes, share=share).scores["clean"].counts.on_object == count


def test_the_file(eye, scenes):
    result = score(eye, scenes, corruption="fog", severity=2.5)
    found = json.loads(result.as_json())
    assert found["format"] == 1
    assert found["labeler"] == {"file": "eye", "sha256": "0"}
    assert found["options"] == {
        "size": 32, "label": None, "corruption": "fog", "severity": 2.5, "share": 0.5,
    }  # fmt: skip
    assert found["data"]["images"] == 3
    assert found["corruption_package"].startswith("stl_backbones fast ")
    assert found["versions"]["stl_backbones"] == stl.__version__
    overall = found["scores"]["clean"]["overall"]
    assert overall["iou"]["value"] == result.scores["clean"].overall["iou"].value
    assert overall["iou"]["interval"] == [0.5, 1.0]  # 1 in 27 resamples is image b alone
    assert overall["counts"]["labelled"] == 6
    assert overall["on_object"]["chance"] is None
    assert set(overall) == {"counts", *TOKEN_SCORES}
    assert set(found["scores"]["fog-2.5"]["classes"]) == {"cat", "dog"}
    assert found["scores"]["clean"]["classes"]["dog"]["iou"]["interval"] is None  # one image


def test_the_fingerprint_is_of_images_and_masks(eye, scenes):
    def fingerprint():
        return score(eye, scenes).record["data"]["fingerprint"]

    first = fingerprint()
    assert first == fingerprint()
    Image.fromarray(np.full((64, 128), 255, np.uint8)).save(scenes / "masks/cat/b.png")
    assert fingerprint() != first


def test_tables(eye, scenes):
    lines = token_tables(score(eye, scenes, corruption="fog")).splitlines()
    heads = [line for line in lines if line.startswith(("Clean", "Fog"))]
    assert heads[0] == "Clean: 3 images, 12 tokens, 5 on the object, 6 labelled, 5 both"
    assert heads[1].startswith("Fog, severity 3: 3 images")
    iou = next(line for line in lines if line.startswith(f"| {TOKEN_SCORES['iou']}"))
    # Of the two labelled tokens of an image 1, 0.5 and 1 are on its object at random places; by
    # the mean of the other two masks 0.5, 1 and 0.
    assert [cell.strip() for cell in iou.split("|")[2:5]] == [
        "83.3 (50.0 to 100.0)", "29.4", "15.8"
    ]  # fmt: skip
    dog = next(line for line in lines if line.startswith("| dog"))
    # All tokens of the one dog are right: no label off the object, no pair for an AUROC.
    cells = [cell.strip() for cell in dog.split("|")[2:-1]]
    assert cells[:4] == ["1", "100.0", "100.0", "100.0"]
    assert float(cells[4]) == pytest.approx(100 * (30 / 17) / (2 + 2 / 17), abs=0.5)
    assert float(cells[5]) == pytest.approx(100 * 15 / 17, abs=0.5)
    assert cells[6:] == ["-", "-", "33.3", "-"]


def test_a_call_from_python(checkpoint, scenes):
    result = stl.evaluate_token_labels(checkpoint, scenes / "images", scenes / "masks", size=32)
    assert result.record["labeler"]["sha256"] == file_sha256(checkpoint)
    assert result.scores["clean"].counts.tokens == 12
    with pytest.raises(FileNotFoundError, match=r"^masks '.*/nosuch' does not exist"):
        stl.evaluate_token_labels(checkpoint, scenes / "images", scenes / "nosuch")


def test_pictures_show_outline_and_numbers(eye, scenes, monkeypatch):
    figures = []
    monkeypatch.setattr("stl_backbones.training.token_labels.load_labeler", lambda _: eye)
    monkeypatch.setattr(
        "stl_backbones.training.token_labels.as_png",
        lambda figure: figures.append(figure) or b"png",
    )
    files, result = draw_token_labels(
        "eye", [scenes / "images"], out=scenes / "out", masks=scenes / "masks",
        options=PictureOptions(size=32, pictures=2),
    )  # fmt: skip
    assert [path.name for path in files] == [
        "a_tokens.png", "a_views.png", "b_tokens.png", "b_views.png", "confidence.png",
        "token_labels.json",
    ]  # fmt: skip
    assert files[-1].read_bytes() == result.as_json()
    assert result.scores["clean"].counts.images == 3
    image, labelled, _, drawn, histogram = figures[2].axes
    (outline,) = image.collections
    corners = outline.get_paths()[0].vertices
    # The upper left quarter of 32 pixels, and of 2 x 2 tokens.
    assert corners.min(axis=0) == pytest.approx([-0.5, -0.5], abs=0.5)
    assert corners.max(axis=0) == pytest.approx([15.5, 15.5], abs=0.5)
    corners = labelled.collections[0].get_paths()[0].vertices
    assert corners.max(axis=0) == pytest.approx([0.5, 0.5], abs=0.05)
    assert image.get_xlabel() == "on the object: 25.0"
    assert labelled.get_xlabel() == "IoU 50.0\nprecision 50.0, recall 100.0"
    assert drawn.get_xlabel().startswith("expected IoU 44.")
    assert histogram.get_xlabel().endswith("50.0")


@pytest.mark.parametrize(
    ("options", "images", "message"),
    [
        ({"size": 40}, "images", "size must be a multiple of 16, .* got 40"),
        ({"label": "newt"}, "images", "^$"),
        ({}, "elsewhere", r"class of '.*/x.png' must be known: its folder 'elsewhere' is no class"),
        ({"label": "cow"}, "images", "knows classes 0..2, by index or name; got 'cow'"),
        ({"share": 0.0}, "images", "share must be above 0 and up to 1, got 0.0"),
    ],
)
def test_what_cannot_be_scored_is_refused(eye, scenes, options, images, message):
    (scenes / "elsewhere").mkdir()
    Image.new("RGB", (32, 32)).save(scenes / "elsewhere/x.png")
    chosen = PictureOptions(**{"size": 32, **options})
    found = label_images(
        eye, find_images([scenes / images]), masks=open_masks(scenes / "masks"), options=chosen,
        title="x",
    )  # fmt: skip
    if message == "^$":  # nothing wrong: a class is given
        assert {one.maps[0].label for one in found} == {2}
        return
    with pytest.raises(ValueError, match=message):
        list(found)


def test_missing_masks_are_found_before_the_first_image_is_read(eye, scenes):
    (scenes / "masks/dog/c.png").unlink()
    (scenes / "images/cat/a.png").write_bytes(b"no image")
    with pytest.raises(FileNotFoundError, match=r"c.png' has no mask"):
        score(eye, scenes)


def test_folders_of_images(scenes):
    (scenes / "images/.hidden.png").write_bytes(b"")
    (scenes / "images/notes.txt").write_text("")
    first = scenes / "images/cat/a.png"
    found = find_images([first, scenes / "images"])
    assert [path.name for path in found] == ["a.png", "b.png", "c.png"]
    (scenes / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="empty' holds no image"):
        find_images([scenes / "empty"])


def test_nothing_to_do_is_refused(checkpoint, scenes):
    with pytest.raises(ValueError, match="--pictures 0 draws nothing"):
        draw_token_labels(
            checkpoint, [scenes], out=scenes / "out", options=PictureOptions(pictures=0)
        )


def test_the_tool(run_tool, checkpoint, scenes):
    words = (checkpoint, scenes / "images", "--out", scenes / "out", "--size", "32")
    done = run_tool(
        "visualize_token_labels.py", *words, "--masks", scenes / "masks", "--pictures", "0"
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("Clean: 3 images, 12 tokens, 5 on the object")
    assert lines[-1] == str(scenes / "out/token_labels.json")
    assert [path.name for path in (scenes / "out").iterdir()] == ["token_labels.json"]
    kept = json.loads((scenes / "out/token_labels.json").read_bytes())
    assert kept["scores"]["clean"]["overall"]["counts"]["images"] == 3


def test_imagenet_s_classes_are_known_where_a_file_names_none(eye, tmp_path):
    unnamed = FrozenLabeler(FANGrid(Eye()), num_classes=1000, classes=None, card={})
    path = tmp_path / "n01484850/x.png"
    path.parent.mkdir()
    Image.new("RGB", (32, 32)).save(path)
    (one,) = label_images(unnamed, [path], options=PictureOptions(size=32), title="x")
    assert one.maps[0].label == 2  # the white shark
    assert one.maps[0].title == "n01484850 (its folder)"


def test_scores_in_the_file_are_those_of_the_tokens(eye, scenes):
    """Once more from the maps alone."""
    found = label_images(
        eye, find_images([scenes / "images"]), masks=open_masks(scenes / "masks"),
        options=PictureOptions(size=32), title="x",
    )  # fmt: skip
    samples = [
        TokenSample(
            tokens.label, tokens.on_object, tokens.classes, tokens.confidence,
            tokens.label_probability,
        )
        for tokens in (one.maps[0] for one in found)
    ]  # fmt: skip
    expected = score_token_labels(samples).overall
    for key, score_found in score(eye, scenes).scores["clean"].overall.items():
        assert score_found.value == pytest.approx(expected[key].value, nan_ok=True)
        assert score_found.interval == pytest.approx(expected[key].interval, nan_ok=True)
