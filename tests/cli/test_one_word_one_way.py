"""An option that several tools have means the same in each."""

from collections import defaultdict
from importlib import import_module

import pytest

from stl_backbones.cli.robustness_options import make_robustness_parser
from stl_backbones.cli.started import COMMANDS
from stl_backbones.cli.tool import PRECISIONS
from stl_backbones.cli.training import make_training_parser
from stl_backbones.engine import precision

# What it is by its tool: a default folder, a value that stays `None` where another tool fills it.
OWN_DEFAULTS = {"--out", "--mode", "--size", "--mean", "--tta"}
OWN_FORM = {
    "--mean",  # report.py: a mean over corruptions
    "--size",  # two sides of an ONNX file, WxH of scenes, one side of a view
}


@pytest.fixture(scope="module")
def options():
    """Option -> tool -> its action."""
    found = defaultdict(dict)
    for name in COMMANDS.values():
        parser = import_module(f"stl_backbones.cli.commands.{name}").parse()
        for option, action in parser._option_string_actions.items():
            found[option][name] = action
    return found


def test_values_defaults_and_choices_agree(options):
    differing = {}
    for name, tools in options.items():
        forms = {
            (
                None if name in OWN_FORM else str(action.nargs),
                None if name in OWN_DEFAULTS else str(action.default),
                tuple(action.choices or ()),
            )
            for action in tools.values()
        }
        if len(forms) > 1:
            differing[name] = {tool: vars(action) for tool, action in tools.items()}
    assert differing == {}


def test_every_choice_is_shown_in_every_help(options):
    hidden = [
        (name, tool)
        for name, tools in options.items()
        for tool, action in tools.items()
        if action.choices and action.metavar
    ]
    assert hidden == []


@pytest.mark.parametrize(
    ("words", "amp"),
    [
        (["--amp", "c.py", "f.pth"], "bfloat16"),
        (["c.py", "f.pth", "--amp"], "bfloat16"),
        (["c.py", "--amp", "float16", "f.pth"], "float16"),
        (["--amp=float16", "c.py", "f.pth"], "float16"),
        (["c.py", "f.pth"], None),
    ],
)
def test_amp_is_a_flag_that_may_name_its_type(words, amp):
    args = make_robustness_parser("").parse_intermixed_args(words)
    assert (args.config, args.checkpoint, args.amp) == ("c.py", "f.pth", amp)


def test_the_types_of_amp_are_the_engines():
    assert PRECISIONS == precision.PRECISIONS


def test_a_wrong_type_of_amp_is_refused_with_the_right_ones(capsys):
    with pytest.raises(SystemExit) as ended:
        make_training_parser("", "x").parse_intermixed_args(["c.py", "--amp", "int8"])
    assert ended.value.code == 2
    line = capsys.readouterr().err
    assert "unrecognized arguments: int8; --amp takes bfloat16 or float16, see --help" in line


def test_a_mistyped_choice_is_refused_with_the_nearest(capsys):
    with pytest.raises(SystemExit):
        make_robustness_parser("").parse_intermixed_args(["c.py", "f.pth", "--mode", "refrence"])
    assert "did you mean reference?" in capsys.readouterr().err
