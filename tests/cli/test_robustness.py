"""The command line of the sweep: what it means, and one wrong input for each option."""

import argparse
import dataclasses
import re
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from stl_backbones.cli import robustness
from stl_backbones.cli.robustness_options import (
    COVARIATES,
    RESIZE_RULES,
    SCORINGS,
    make_robustness_parser,
)
from stl_backbones.corruptions import import_modules
from stl_backbones.errors import InputError, UserError
from stl_backbones.evaluation import classified
from stl_backbones.models.presets import PRESETS
from stl_backbones.records import CLEAN
from stl_backbones.results import CellStore
from stl_backbones.results.run_record import decode_run
from stl_backbones.robustness import classifier_versions
from stl_backbones.robustness.options import SweepOptions
from stl_backbones.robustness.stopping import targets

MINI = "configs/cls/stl_fan_t_mini_student.py"
SEGMENTATION = "configs/seg/stl_fan_t_mini.py"


def parse(*words) -> argparse.Namespace:
    return make_robustness_parser("x").parse_intermixed_args([str(word) for word in words])


def options_of(args):
    with mock.patch.object(robustness, "sweep") as swept:
        robustness.run(args)
    return swept.call_args.kwargs["options"]


def test_the_light_copies_of_choices_are_the_originals():
    assert SCORINGS == classified.SCORINGS
    assert RESIZE_RULES == classifier_versions.RESIZE_RULES
    assert COVARIATES == targets.COVARIATES


def test_options_may_stand_between_config_and_checkpoint():
    args = parse("c.py", "--protocol", "all", "f.pth", "--severities", 1, 2)
    assert (args.config, args.checkpoint, args.severities) == ("c.py", "f.pth", [1, 2])


def test_what_is_not_given_keeps_its_default():
    args = parse("--timm", "x", "--data-root", "y", "--batch-size", 8, "--crop-pct", 0.9)
    options = options_of(args)
    assert (options.protocol, options.batch_size) == ("", 8)
    assert options.task_options == {"crop_pct": 0.9}
    assert options_of(parse("--timm", "x", "--data-root", "y")) == SweepOptions()


def test_a_preset_names_weights_and_row(tmp_path):
    args = parse("--preset", "convnext-t", "--data-root", tmp_path, "--work-dir", tmp_path / "x")
    with mock.patch.object(robustness, "sweep") as swept:
        robustness.run(args)
    source = swept.call_args.args[0]
    assert (source.timm_name, source.checkpoint) == ("convnext_tiny.fb_in1k", None)
    assert (source.name, source.data_root) == ("ConvNeXt-T", str(tmp_path))


def test_a_preset_of_tables_4_and_5_names_config_and_row():
    args = parse("--preset", "segformer-b0", "--checkpoint", "f.pth", "--data-root", "city")
    with mock.patch.object(robustness, "sweep") as swept:
        robustness.run(args)
    name = "segformer_mit-b0_8xb1-160k_cityscapes-1024x1024"
    source, options = swept.call_args.args[0], swept.call_args.kwargs
    assert (source.name, str(source.checkpoint), source.data_root) == (name, "f.pth", "city")
    assert options["options"].name == "SegFormer-B0"
    assert options["work_dir"] == Path("work_dirs") / name / "robustness"


def test_a_preset_of_tables_4_and_5_fetches_its_weights():
    with mock.patch.object(robustness, "sweep") as swept:
        robustness.run(parse("--preset", "segformer-b0", "--data-root", "city", "--no-ema"))
    source = swept.call_args.args[0]
    assert re.fullmatch(r"https://.*/segformer_mit-b0_.*-[0-9a-f]{8}\.pth", source.checkpoint)
    assert source.ema is False


def test_presets_are_listed():
    lines = robustness.list_presets().splitlines()
    found = {words[0]: words[1:] for words in map(str.split, lines) if words}
    assert (
        " ".join(found["convnext-t"]) == "ConvNeXt-T convnext_tiny.fb_in1k 82.1 % timm fetches it"
    )
    assert " ".join(found["rvt-s"]) == "RVT-S rvt_s 81.9 % give --checkpoint FILE"
    assert found["vit-s"][2] == "-"  # the paper prints no clean accuracy
    assert found["mae-vit-b"][-1] == PRESETS["mae-vit-b"].weights


def test_a_preset_that_timm_lacks_fetches_the_authors_file(tmp_path):
    words = ("--preset", "lv-vit-s", "--data-root", tmp_path)
    for given, expected in (
        ((), PRESETS["lv-vit-s"].weights),
        (("--checkpoint", "f.pth"), "f.pth"),
    ):
        with mock.patch.object(robustness, "sweep") as swept:
            robustness.run(parse(*words, *given))
        source = swept.call_args.args[0]
        assert (source.timm_name, source.checkpoint) == ("lv_vit_s", expected)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "expected one model: .* got none"),
        ([MINI, "f.pth", "--timm", "resnet18"], "expected one model: .* got config and timm"),
        (["resnet50.ram_in1k"], "does not exist; for timm's model: --timm resnet50.ram_in1k"),
        (["--timm", "a", "--preset", "b"], "expected one model: .* got timm and preset"),
        ([MINI], "needs one checkpoint to score, .* got none"),
        (
            ["--timm", "resnet18", "--data-root", ".", "--tta"],
            "--tta: not an option of classification",
        ),
        ([MINI, "f.pth", "--checkpoint", "g.pth"], "got f.pth and g.pth"),
        (["--timm", "resnet18"], "need --data-root DIR"),
        (["--timm", "resnet18", "--data-root", ".", "--cfg-options", "a=1"], "have none"),
        (["--preset", "vgg", "--data-root", "."], "unknown preset 'vgg'; expected one of"),
        (
            [SEGMENTATION, "f.pth", "--scoring", "cls", "--jpeg85", "--input-size", 96],
            "--scoring, --input-size, --jpeg85: not an option of segmentation",
        ),
        (["gone.py", "f.pth"], "config 'gone.py' does not exist"),
    ],
)
def test_words_that_do_not_go_together(words, message, monkeypatch, repo_root):
    monkeypatch.chdir(repo_root)
    with pytest.raises((ValueError, KeyError, FileNotFoundError), match=message):
        robustness.run(parse(*words))


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "w.pth"
    torch.save(timm.create_model("test_resnet").state_dict(), path)
    return path


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--timm", "test_resnett"], "did you mean test_resnet"),
        (["--checkpoint", "gone.pth"], "checkpoint 'gone.pth' does not exist"),
        (["--checkpoint", "setup.py"], "'setup.py' is truncated or no checkpoint"),
        (["--timm", "test_vit"], "does not fit timm's 'test_vit' with 1000 classes"),
        (["--crop-pct", 1.2], "the crop ratio must be above 0 and at most 1, got 1.2"),
        (["--crop-pct", 1e-9], "the crop ratio must be at least 0.05, got 1e-09"),
        (["--interpolation", "cubic"], "interpolation must be one of .* got 'cubic'"),
        (["--std", 0, 1, 1], r"std must be above 0, got \(0.0, 1.0, 1.0\)"),
        (["--mean", 123.7, 116.3, 103.5], r"mean must be in 0\.\.1, .* by 255, got \(123.7,"),
        (["--std", 1e-9, 1, 1], r"std must be in 0.001\.\.1, .* got \(1e-09, 1.0, 1.0\)"),
        (["--mean", 0.1, 0.2], "mean must be 1 or 3 numbers, got 2"),
        (["--timm", "owner/net"], "Use 'hf-hub:owner/net'"),
        (["--timm", "local-dir:/gone"], "timm's folder '/gone' does not exist"),
        (["--checkpoint", "http://127.0.0.1:1/x.pth"], r"x\.pth' cannot be fetched .*`curl -LO"),
        (["--checkpoint", "."], r"checkpoint '\.' is a folder; expected a file"),
        (["--protocol", "imagenet"], "unknown protocol 'imagenet'"),
        (["--corruptions", "smoke"], "unknown corruption 'smoke'"),
        (["--corruptions", "group:fog"], "'group:fog' is not part of .*, or a group: noise, blur"),
        (
            ["--clean-only", "--severities", 1, "--corruptions", "fog"],
            "scores no corrupted images, so --corruptions and --severities means nothing",
        ),
        (["--launcher", "slurm"], "--launcher slurm needs SLURM_PROCID"),
    ],
)
def test_one_wrong_input_for_each_option(
    words, message, weights, mini_data, tmp_path, monkeypatch, repo_root
):
    monkeypatch.chdir(repo_root)
    plain = {"--timm": "test_resnet", "--checkpoint": weights, "--work-dir": tmp_path / "x",
             "--data-root": mini_data / "imagenet/val"}  # fmt: skip
    plain = {word: value for word, value in plain.items() if word not in words}
    with pytest.raises((ValueError, KeyError, FileNotFoundError), match=message):
        robustness.run(parse(*(word for pair in plain.items() for word in pair), *words))
    assert not (tmp_path / "x").exists()


def test_folders_that_are_no_class_of_imagenet(weights, mini_data, tmp_path):
    args = parse(
        "--timm", "test_resnet", "--checkpoint", weights, "--work-dir", tmp_path / "x",
        "--data-root", mini_data / "imagenet/val",
    )  # fmt: skip
    with pytest.raises(
        ValueError, match=r"10 folders that are no class of ImageNet-1K \(bicycle, "
    ):
        robustness.run(args)


def test_the_tool_says_it_in_one_line(run_tool, tmp_path):
    done = run_tool("robustness.py", "--preset", "resnet18", "--data-root", tmp_path)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()[-1:]
    assert line.startswith("robustness.py: error: '")
    assert "holds no class folder" in line
    assert "Traceback" not in done.stderr


def test_the_tool_lists_presets(run_tool):
    done = run_tool("robustness.py", "--list-presets")
    assert done.returncode == 0
    assert done.stdout.splitlines()[1].startswith("resnet18 ")


def test_the_report_of_a_configs_own_protocol_imports_what_the_config_does(
    tmp_path, repo_root, own_catalog, monkeypatch
):
    """Without it, the command that a sweep prints would not know the protocol."""
    config = tmp_path / "own.py"
    base = f"_base_ = ['{repo_root / SEGMENTATION}']"
    config.write_text(f"{base}\ncustom_imports = dict(imports=['rain_streaks'])\n")
    monkeypatch.syspath_prepend(repo_root / "docs/examples")
    import_modules(["rain_streaks"])
    record = decode_run(repo_root / "tests/data/sweeps_0/seg/run.json")
    store = CellStore(tmp_path / "sweep")
    with store.writing(dataclasses.replace(record, protocol="rain")):
        args = parse(config, "f.pth", "--protocol", "rain")
        command = robustness.report_command(args, store.folder)
    assert command.endswith(" --partial --custom-imports rain_streaks")


class TestAnyModel:
    """``--model SOURCE`` with its data, as a user types it."""

    @pytest.fixture
    def own(self, tmp_path, monkeypatch):
        """A module of a name of its own, images and label maps."""
        for name, pixels in (("images", np.full((40, 48, 3), 90)), ("labels", np.zeros((40, 48)))):
            (tmp_path / name).mkdir()
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / name / "a.png")
        module = tmp_path / f"own_{tmp_path.name}.py"
        module.write_text(
            "import numpy as np\n"
            "def build():\n"
            "    return lambda images: [np.zeros(one.shape[:2], int) for one in images]\n"
            "def needs(what):\n"
            "    return what\n"
            "def broken():\n"
            "    raise OSError('no such weights')\n"
        )
        (tmp_path / "names.txt").write_text("ground\nsky\n")
        monkeypatch.chdir(tmp_path)
        return module.name

    WORDS = ("--images", "images", "--truth", "labels", "--classes", "names.txt", "--clean-only")

    def test_a_function_of_a_file_is_scored(self, own, tmp_path):
        folder = robustness.run(
            parse("--model", f"{own}:build", *self.WORDS, "--work-dir", "sweep")
        )
        counts = CellStore(folder).read(CLEAN).samples["confusion_matrix"]
        assert counts.tolist() == [[[40 * 48, 0], [0, 0]]]

    def test_a_changed_file_is_another_model(self, own, tmp_path):
        words = ("--model", f"{own}:build", *self.WORDS, "--work-dir", "sweep")
        robustness.run(parse(*words))
        (tmp_path / own).write_text((tmp_path / own).read_text() + "\n# trained anew\n")
        with pytest.raises(InputError, match="config_sha256"):
            robustness.run(parse(*words))

    @pytest.mark.parametrize(
        ("words", "says"),
        [
            (("own:build", *WORDS), "unknown kind of model 'own'"),
            (("FILE:gone", *WORDS), "has no function 'gone'"),
            (("FILE:needs", *WORDS), r"needs\(\) fails: TypeError.*without arguments"),
            (("FILE:broken", *WORDS), r"broken\(\) fails: OSError: no such weights"),
            (("FILE:build",), "--model needs data: --data-root DIR"),
            (("FILE:build", "--images", "images"), "--images DIR and --truth PATH go together"),
            (("FILE:build", *WORDS[:4]), "nothing names the classes of the label maps"),
            (("FILE:build", *WORDS, "--data-root", "images"), "got both"),
            (("FILE:build", *WORDS, "--tta"), "--tta: not an option of segmentation"),
        ],
    )
    def test_what_cannot_be_is_one_line(self, own, words, says):
        words = [word.replace("FILE", own) for word in words]
        with pytest.raises(UserError, match=says):
            robustness.run(parse("--model", *words, "--work-dir", "sweep"))
