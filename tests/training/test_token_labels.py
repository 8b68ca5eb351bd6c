"""Pictures of token labels: the numbers behind them, the files, and what is refused."""

import numpy as np
import pytest
import torch
from PIL import Image

from stl_backbones.engine.safe_loaders import install_safe_loaders
from stl_backbones.models import FAN, get_variant
from stl_backbones.pretraining.figures import plot_token_labels
from stl_backbones.pretraining.frozen import load_labeler
from stl_backbones.pretraining.preprocessor import STLPreprocessor
from stl_backbones.training.token_labels import draw_token_labels
from stl_backbones.training.token_maps import PictureOptions, geometric_views, map_tokens

CLASSES = ("cat", "dog", "newt")


@pytest.fixture(scope="module")
def labeler(checkpoint):
    install_safe_loaders()
    return load_labeler(checkpoint)


@pytest.fixture
def pictures(tmp_path):
    """One image in a class folder and two beside it, of one name."""
    rng = np.random.default_rng(0)
    paths = [tmp_path / name for name in ("dog/a.png", "b/a.png", "b/c.jpg")]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (50, 70, 3), dtype=np.uint8)).save(path)
    return paths


def test_tokens_are_the_network_s(labeler):
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (2, 48, 64, 3), dtype=np.uint8)
    maps = map_tokens(labeler, {name: Image.fromarray(p) for name, p in zip("ab", pixels)})  # noqa: B905
    batch = {
        "student": torch.from_numpy(pixels).permute(0, 3, 1, 2),
        "label": torch.zeros(2, dtype=torch.int64),
        "path": ["a", "b"],
    }
    inputs = STLPreprocessor(len(CLASSES))(batch)["inputs"]["student"]
    class_logits, token_logits = labeler.network.fan(inputs)
    confidence, classes = token_logits.softmax(-1).max(-1)
    assert [tokens.title for tokens in maps] == ["a", "b"]
    assert {tokens.label for tokens in maps} == {int(class_logits[0].argmax())}
    for index, tokens in enumerate(maps):
        assert np.array_equal(tokens.image, pixels[index])
        assert np.array_equal(tokens.classes, classes[index].view(3, 4).numpy())
        assert np.allclose(tokens.confidence, confidence[index].detach().view(3, 4), atol=1e-5)
        softmax = token_logits[index].softmax(-1)[:, tokens.label].detach().view(3, 4)
        assert np.allclose(tokens.label_probability, softmax, atol=1e-5)
        assert set(np.unique(tokens.drawn)) <= {0, 1, 2}


def test_gumbel_draws_follow_confidence(labeler):
    image = {"": Image.fromarray(np.random.default_rng(2).integers(0, 256, (64, 64, 3), "u1"))}
    first = map_tokens(labeler, image)[0]
    assert np.array_equal(first.drawn, map_tokens(labeler, image)[0].drawn)
    draws = np.stack([map_tokens(labeler, image, seed=seed)[0].drawn for seed in range(60)])
    kept = (draws == first.classes).mean()
    assert kept == pytest.approx(first.confidence.mean(), abs=0.06)


def test_views_are_the_spatial_operations():
    image = Image.fromarray(np.random.default_rng(3).integers(0, 256, (40, 40, 3), dtype=np.uint8))
    views = geometric_views(image)
    assert list(views) == ["image", "crop", "rotation", "shear", "translation"]
    assert all(view.size == (40, 40) for view in views.values())
    moved = np.asarray(views["translation"])
    assert np.array_equal(moved[:, :30], np.asarray(image)[:, 10:])


def test_files_and_names(checkpoint, pictures, tmp_path):
    options = PictureOptions(size=48, corruption="fog", severity=2)
    out = tmp_path / "out"
    files, scores = draw_token_labels(checkpoint, pictures, out=out, options=options)
    assert scores is None
    assert sorted(path.name for path in files) == sorted(path.name for path in out.iterdir())
    assert [path.name for path in files] == [
        "a_tokens_fog_2.png", "a_views.png", "a_2_tokens_fog_2.png", "a_2_views.png",
        "c_tokens_fog_2.png", "c_views.png", "confidence.png",
    ]  # fmt: skip
    for path in files:
        with Image.open(path) as picture:
            assert min(picture.size) > 300


@pytest.mark.parametrize(
    ("picture", "label", "title"),
    [
        (0, None, "dog (its folder)"),
        (1, None, "(as seen)"),
        (0, "newt", "newt (given)"),
        (0, "0", "cat (given)"),
    ],
)
def test_the_image_s_class(checkpoint, pictures, tmp_path, monkeypatch, picture, label, title):
    titles = []

    def note(maps, *, threshold):
        titles.extend(tokens.title for tokens in maps)
        return plot_token_labels(maps, threshold=threshold)

    monkeypatch.setattr("stl_backbones.training.token_labels.plot_token_labels", note)
    options = PictureOptions(size=32, label=label)
    draw_token_labels(checkpoint, [pictures[picture]], out=tmp_path / "out", options=options)
    assert len(titles) == 1
    assert titles[0].endswith(title)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"size": 16}, ValueError, "size must be at least 32, got 16"),
        ({"threshold": 2.0}, ValueError, "threshold must be in 0..1, got 2.0"),
        ({"corruption": "drizzle"}, KeyError, "unknown corruption 'drizzle'"),
        (
            {"corruption": "fog", "severity": 6},
            ValueError,
            "severity must be a number in 1..5, got 6",
        ),
        ({"label": "7"}, ValueError, "knows classes 0..2, by index or name; got '7'"),
        ({"label": "cow"}, ValueError, "knows classes 0..2, by index or name; got 'cow'"),
    ],
)
def test_bad_options_are_refused(checkpoint, pictures, tmp_path, options, error, message):
    with pytest.raises(error, match=message):
        draw_token_labels(
            checkpoint, pictures[:1], out=tmp_path / "out", options=PictureOptions(**options)
        )


def test_a_network_without_a_token_head_is_refused(pictures, tmp_path):
    fan = FAN(get_variant("tiny_vit"), num_classes=3)
    torch.save({"state_dict": fan.state_dict()}, tmp_path / "plain.pth")
    with pytest.raises(ValueError, match="FAN-T-ViT without a token head"):
        draw_token_labels(tmp_path / "plain.pth", pictures, out=tmp_path / "out")


def test_unreadable_images_are_named(checkpoint, pictures, tmp_path):
    pictures[0].write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"a.png' is no image"):
        draw_token_labels(checkpoint, pictures, out=tmp_path / "out")
    with pytest.raises(FileNotFoundError, match=r"image '.*gone.jpg' does not exist"):
        draw_token_labels(checkpoint, [tmp_path / "gone.jpg"], out=tmp_path / "out")


def test_the_tool(run_tool, checkpoint, pictures, tmp_path):
    out = tmp_path / "out"
    words = (checkpoint, pictures[0], "--out", out, "--size", "32")
    done = run_tool("visualize_token_labels.py", *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{out}/a_tokens.png", f"{out}/a_views.png"]
