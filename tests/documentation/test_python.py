"""Python of the pages runs, in order, as a reader would run it; tutorials print what they say."""

import contextlib
import io
import os
import re

import numpy as np
import pytest
import torch
from PIL import Image

import stl_backbones as stl
from stl_backbones.corruptions import get_protocol
from stl_backbones.datasets.imagenet_classes import imagenet_wnids
from tests.documentation.commands import ROOT, blocks

onnx = pytest.importorskip("onnx")
pytest.importorskip("pandas")
from onnx import helper  # noqa: E402

MODES = ("severities=[3]", 'severities=[3], mode="fast", progress=False')
TUTORIALS = sorted((ROOT / "docs/tutorials").glob("*.md"))
STEP = re.compile(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", re.DOTALL)
NUMBER = re.compile(r"-?\d+\.\d+")
TOLERANCE = 0.0501  # two of forty images, on another processor


def write(path, seed, size=(256, 240)):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), np.uint8)
    Image.fromarray(noise).save(path)


@pytest.fixture
def reader(tmp_path, monkeypatch):
    """The folders that the pages speak of."""
    for seed in range(4):
        write(tmp_path / "photos" / ("cat", "dog")[seed % 2] / f"{seed}.png", seed, (64, 48))
        write(tmp_path / "imagenet" / imagenet_wnids()[seed] / f"{seed}.png", seed)
        write(tmp_path / "streets/images" / f"{seed}.png", seed, (64, 48))
        label = tmp_path / "streets/labels" / f"{seed}.png"
        label.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((48, 64), seed % 2, np.uint8)).save(label)
    monkeypatch.chdir(tmp_path)


def run(path, names):
    for block in blocks(path, "python"):
        exec(compile(block.replace(*MODES), str(path), "exec"), names)
    return names


def test_any_model_runs(reader):
    names = run(ROOT / "docs/how-to/any_model.md", {})
    assert list(names["result"].table().index) == ["tiny"]
    assert set(names["cells"]["corruption"]) == {"clean", "fog"}
    assert len(names["images"]) == 8
    assert names["differences"].loc["clean", "unit"] == "fraction"
    assert names["files"].page.is_file()


def test_the_readme_runs(reader, capsys):
    names = run(ROOT / "README.md", {})
    assert "chosen" in capsys.readouterr().out
    assert names["result"].cells(resamples=0)["corruption"].nunique() == 3


def test_a_backbone_gives_what_the_page_says(reader):
    names = {}
    exec(blocks(ROOT / "docs/how-to/backbone.md", "python")[0], names)
    assert [tuple(names[name].shape) for name in ("class_logits", "token_logits")] == [
        (1, 1000), (1, 196, 1000),
    ]  # fmt: skip


def classifier(images):
    """Scores that differ from image to image, and fall under fog."""
    return [[image.mean() / 255, image.std() / 128] for image in images]


def test_two_sweeps_are_compared(reader, capsys):
    for name in "ab":
        stl.evaluate(
            classifier, "photos", classes=["cat", "dog"], work_dir=f"sweeps/{name}", version=name,
            name=name, corruptions=["fog"], severities=[3], mode="fast", progress=False,
        )  # fmt: skip
    run(ROOT / "docs/how-to/compare.md", {})
    assert "clean" in capsys.readouterr().out


def test_failures_are_shown(reader):
    names = {"stl": stl, "model": classifier}
    (block,) = blocks(ROOT / "docs/how-to/failures.md", "python")
    exec(block.replace('corruptions=["fog"]', 'corruptions=["fog"], mode="fast"'), names)
    assert names["pictures"]


def test_an_onnx_file_states_what_to_feed_it(reader):
    graph = helper.make_graph([], "empty", [], [])
    model = helper.make_model(graph)
    helper.set_model_props(model, {"mean": "[1.0]", "std": "[2.0]", "classes": "[]"})
    onnx.save(model, "seg.onnx")
    names = run(ROOT / "docs/how-to/onnx.md", {})
    assert (names["mean"], names["std"], names["classes"]) == ([1.0], [2.0], [])


def test_a_corruption_of_ones_own_is_registered(reader):
    block, config = blocks(ROOT / "docs/how-to/own_corruption.md", "python")
    exec(block, {"__name__": "rain_streaks"})
    assert get_protocol("rain").corruptions == ("rain_streaks", "snow", "fog")
    exec(config, {})


def test_images_and_batches_are_corrupted():
    image = np.random.default_rng(0).integers(0, 256, (32, 40, 3), np.uint8)
    names = {"image": image, "keys": ["a", "b"], "images": torch.from_numpy(image.copy())}
    names["images"] = names["images"].permute(2, 0, 1).repeat(2, 1, 1, 1)
    one, batch = blocks(ROOT / "docs/reference/corruptions.md", "python")
    exec(one, names)
    assert (names["name"], names["severity"]) == ("saturate", 5)
    exec(batch, names)
    assert names["foggy"].shape == (2, 3, 32, 40)


def test_the_backbone_of_a_config_is_built():
    from mmengine.registry import MODELS

    import stl_backbones.transfer  # noqa: F401

    names = {}
    exec(blocks(ROOT / "docs/how-to/backbone.md", "python")[1], names)
    config = {**names["model"]["backbone"], "type": "stl_backbones.FAN", "init_cfg": None}
    with torch.device("meta"):
        assert MODELS.build(config).out_channels == (128, 256, 448, 448)


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(
            path, marks=[pytest.mark.slow] * (path.stem == "where_it_breaks"), id=path.stem
        )
        for path in TUTORIALS
    ],
)
def test_a_tutorial_prints_what_it_says(path, reader):
    """With WRITE_PAGES=1 the page gets what is printed."""
    text, names, printed = path.read_text(encoding="utf-8"), {}, []
    for block, said in STEP.findall(text):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(block, str(path), "exec"), names)
        lines = "".join(f"{line.rstrip()}\n" for line in out.getvalue().splitlines())
        printed.append(lines)
        if not os.environ.get("WRITE_PAGES"):
            assert NUMBER.sub("#", lines) == NUMBER.sub("#", said)
            numbers = [list(map(float, NUMBER.findall(one))) for one in (lines, said)]
            np.testing.assert_allclose(*numbers, atol=TOLERANCE, rtol=0.1)
    if os.environ.get("WRITE_PAGES"):
        left = iter(printed)

        def put(match):
            lines = next(left)
            return f"```python\n{match[1]}```" + (f"\n\n```text\n{lines}```" if lines else "")

        path.write_text(STEP.sub(put, text), encoding="utf-8")
