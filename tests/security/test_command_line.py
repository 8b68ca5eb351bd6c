"""What the command line lets a user trust, and what its values cannot do."""

from __future__ import annotations

import re

import pytest
import torch

from stl_backbones.cli.tool import add_trust_checkpoint, make_parser, parse_options
from stl_backbones.config.reading import load_config
from stl_backbones.models.checkpoint_files import are_checkpoints_trusted

READERS = (
    "convert_checkpoint.py", "export_onnx.py", "pretrain.py", "robustness.py",
    "show_failures.py", "test.py", "train.py", "visualize_token_labels.py",
)  # fmt: skip
SAID = "warning: --trust-checkpoint: code in the checkpoints is run"


@pytest.fixture
def parser():
    parser = make_parser("A tool.")
    parser.prog = "tool.py"
    add_trust_checkpoint(parser)
    return parser


def test_trust_is_off_unless_it_is_given(parser):
    assert parser.parse_intermixed_args([]).trust_checkpoint is False
    assert not are_checkpoints_trusted()
    assert parser.parse_intermixed_args(["--trust-checkpoint"]).trust_checkpoint is True
    assert are_checkpoints_trusted()


@pytest.mark.parametrize(
    ("environment", "red"),
    [({}, False), ({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False)],
)
def test_trust_is_told_in_red_where_colours_are_wanted(
    parser, monkeypatch, capsys, environment, red
):
    for name in ("FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    parser.parse_intermixed_args(["--trust-checkpoint"])
    line = f"tool.py: {SAID}"
    assert capsys.readouterr().err == (f"\x1b[31m{line}\x1b[0m\n" if red else f"{line}\n")


def test_it_is_told_once_in_a_launched_job(parser, monkeypatch, capsys):
    monkeypatch.setenv("RANK", "1")
    parser.parse_intermixed_args(["--trust-checkpoint"])
    assert are_checkpoints_trusted()
    assert capsys.readouterr().err == ""


def test_every_tool_that_reads_checkpoints_has_the_option(repo_root):
    words = "add_trust_checkpoint|add_config_run|make_(robustness|training)_parser"
    has = {
        path.name
        for path in (repo_root / "stl_backbones/cli/commands").glob("*.py")
        if re.search(words, path.read_text("utf-8"))
    }
    assert has == set(READERS)


@pytest.mark.slow
def test_a_tool_refuses_pickled_code_and_runs_it_when_told_to(tmp_path, run_tool, poison, marker):
    import timm

    torch.manual_seed(0)
    weights = timm.create_model("fan_tiny_8_p4_hybrid", num_classes=2).state_dict()
    source, target = poison(tmp_path / "source.pth", "zip", weights), tmp_path / "target.pth"
    found = run_tool("convert_checkpoint.py", source, target, TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD="1")
    assert found.returncode == 2
    assert found.stderr.count("\n") == 1
    assert re.fullmatch(r"convert_checkpoint\.py: error: .* --trust-checkpoint\n", found.stderr)
    assert not marker.exists()
    assert not target.exists()
    found = run_tool("convert_checkpoint.py", source, target, "--trust-checkpoint")
    assert (found.returncode, found.stderr) == (0, f"convert_checkpoint.py: {SAID}\n")
    assert marker.is_dir()
    assert set(torch.load(target, weights_only=True)["meta"]) >= {"arch", "source"}


@pytest.mark.parametrize(
    "value",
    [
        "__import__('os').mkdir('{marker}')", "os.mkdir('{marker}')", "$(mkdir${{IFS}}{marker})",
        "`mkdir${{IFS}}{marker}`", "!!python/object/apply:os.mkdir['{marker}']",
        "(lambda:os.mkdir('{marker}'))()",
    ],
)  # fmt: skip
def test_values_are_texts_and_literals(value, marker):
    value = value.format(marker=marker)
    found = parse_options([f"name={value}"])["name"]
    assert not marker.exists()
    assert isinstance(found, str | tuple)
    if isinstance(found, str):
        assert found.replace("'", "") == value.replace("'", "")


MINI = "configs/seg/stl_fan_t_mini.py"


@pytest.mark.parametrize(
    "options",
    [
        {"model.backbone.type": "os.system"},
        {"model.backbone.type": "mmengine.utils.install_package"},
        {"model.backbone.type": "mmengine.rmtree"},
        {"visualizer": {"type": "subprocess.getoutput", "cmd": "true"}},
        {"custom_hooks": [{"type": "os.mkdir", "path": "ran"}]},
    ],
)
def test_a_type_is_a_registered_name(repo_root, options):
    """mmengine would import any other and call it with the options beside it."""
    with pytest.raises(ValueError, match="expected a registered name such as"):
        load_config(repo_root / MINI, options=options)


@pytest.mark.parametrize("name", ["AdamW", "mmseg.FCNHead", "stl_backbones.FAN"])
def test_registered_names_are_taken(repo_root, name):
    config = load_config(repo_root / MINI, options={"model.backbone.type": name})
    assert config.model.backbone.type == name


def test_a_config_of_yaml_is_data(tmp_path, marker):
    path = tmp_path / "config.yaml"
    path.write_text(f"model: !!python/object/apply:os.mkdir ['{marker}']\n")
    with pytest.raises(ValueError, match="plain data"):
        load_config(path)
    assert not marker.exists()
