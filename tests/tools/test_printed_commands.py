"""What a tool prints to be typed can be typed: its options exist, and `next:` runs as printed."""

import ast
import re
import shlex
from pathlib import Path

import pytest
import timm
import torch

from faults.bad_commands import TOOLS, find_parser, options_of
from stl_backbones.cli import robustness
from stl_backbones.cli.robustness_options import make_robustness_parser

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "stl_backbones").rglob("*.py"))
# Of pip, torchrun, timm and huggingface_hub, where a text names them.
OTHERS = {
    "--dist-bn", "--force-reinstall", "--help", "--local-dir", "--no-binary", "--no-cache-dir",
    "--index-url", "--no-build-isolation", "--no-deps", "--nproc-per-node", "--upgrade",
    "--version",
}  # fmt: skip
PLACEHOLDER = "x"  # what stands for a value in an f-string
COMMAND = re.compile(rf"(?:^|python )\s*(?:tools/)?({'|'.join(TOOLS)})((?: +[^\s;()]+)+)", re.M)


def texts_of(path):
    """The texts of a file, f-strings with a word for each value."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inner = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            inner |= {id(part) for part in node.values}
            parts = [p.value if isinstance(p, ast.Constant) else PLACEHOLDER for p in node.values]
            yield "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and id(node) not in inner:
            yield str(node.value)


TEXTS = [(path.relative_to(ROOT), text) for path in FILES for text in texts_of(path)]


def test_every_option_in_a_text_is_a_tools():
    known = {option for tool in TOOLS for option in options_of(tool)} | OTHERS
    named = [
        (str(path), option)
        for path, text in TEXTS
        for option in re.findall(r"(?<![\w-])--[a-z][a-z0-9]+(?:-[a-z0-9]+)*", text)
    ]
    assert len(named) > 200
    assert [one for one in named if one[1] not in known] == []


def test_every_command_in_a_text_is_one():
    """Examples of --help, hints in errors: the words are read by the tool's own parser."""
    found = [(path, *match) for path, text in TEXTS for match in COMMAND.findall(text)]
    assert len(found) > 15
    for path, tool, words in found:
        own = words.partition(" -- ")[0]  # behind it are another tool's
        for word in re.findall(r"--[a-z][\w-]+", own):
            assert word in options_of(tool), (path, tool, words)
    examples = [(tool, words) for path, tool, words in found if "commands" in path.parts]
    assert {tool for tool, _ in examples} >= {"report.py", "generate_corruptions.py"}


@pytest.mark.parametrize("tool", TOOLS)
def test_examples_of_help_are_read_whole(tool):
    parser = find_parser(tool)
    for line in (parser.epilog or "").splitlines():
        match = re.fullmatch(r"  (?:python tools/)?(\w+\.py) (.*)", line)
        if match:
            words = shlex.split(re.split(r" {2,}", match[2])[0])  # what follows is its meaning
            find_parser(match[1]).parse_intermixed_args(words)


@pytest.fixture
def sweep(tmp_path, mini_data):
    """Run a sweep of a tiny classifier as the tool does; returns what it prints to be typed."""
    torch.manual_seed(0)
    weights = tmp_path / "w.pth"
    torch.save(timm.create_model("test_resnet", num_classes=10).state_dict(), weights)

    def run(*words):
        args = make_robustness_parser("x").parse_intermixed_args(
            ["--timm", "test_resnet", "--checkpoint", str(weights), "--mode", "fast", "--workers",
             "0", "--data-root", str(mini_data / "imagenet/val"), "--limit", "10", "--work-dir",
             str(tmp_path / "a sweep"), *words]
        )  # fmt: skip
        return robustness.report_command(args, robustness.run(args))

    return run


def test_next_runs_as_printed(sweep, run_tool, own_catalog):
    """Of a clean score alone; then of a group, in the same folder; then of another protocol's."""
    command = sweep("--clean-only")
    assert command.endswith("a sweep'")
    done = run_as_printed(command, run_tool)
    assert "(chosen: clean images alone)" in done.stdout
    assert run_as_printed(sweep("--corruptions", "noise", "--severities", "1"), run_tool)
    command = sweep("--protocol", "all", "--corruptions", "spatter", "fog")
    assert command.endswith("--protocol all")
    done = run_as_printed(command, run_tool)
    assert "(chosen: 5 of 19 corruptions, 13 of 95 cells)" in done.stdout


def test_next_of_ones_own_protocol_names_its_module(sweep, run_tool, own_catalog, tmp_path):
    module = tmp_path / "own_fog.py"
    module.write_text(
        "from stl_backbones.corruptions import Protocol, register_protocol\n"
        "register_protocol(Protocol('own-fog', {'fog': ('fog',)}, 'us', {'fog': (1,)}))\n"
    )
    from stl_backbones.corruptions import import_modules

    import_modules([str(module)])
    command = sweep("--protocol", "own-fog", "--custom-imports", str(module))
    assert "--partial" not in command
    done = run_as_printed(command, run_tool)
    assert "protocol own-fog" in done.stdout


def run_as_printed(command, run_tool):
    words = shlex.split(command)
    done = run_tool("report.py", *words[words.index("report") + 1 :])
    assert (done.returncode, done.stderr) == (0, "")
    return done
