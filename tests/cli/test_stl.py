"""`stl`: every tool below one name, printed as it was started, and what a wheel carries for it."""

import os
import subprocess
import sys
from importlib import import_module

import pytest

from stl_backbones import corruptions
from stl_backbones.cli.main import main
from stl_backbones.cli.started import COMMANDS
from stl_backbones.corruptions import CORRUPTIONS

HELP = """
import sys
from stl_backbones.cli.main import main
sys.argv = ["stl", "--help"]
code = main()
sys.exit(code or sorted({"numpy", "torch", "mmengine"} & set(sys.modules)) or 0)
"""


@pytest.fixture
def stl(repo_root, tmp_path):
    """Run it in a folder without a repository; returns the finished process."""

    def run(*words, start=("-m", "stl_backbones"), **environment):
        search = os.pathsep.join([str(repo_root), *filter(None, [os.environ.get("PYTHONPATH")])])
        return subprocess.run(
            [sys.executable, *start, *map(str, words)], cwd=tmp_path, capture_output=True,
            text=True, timeout=120, check=False,
            env={**os.environ, "PYTHONPATH": search, **environment},
        )  # fmt: skip

    return run


def test_every_tool_is_a_command(repo_root):
    tools = {path.stem for path in (repo_root / "tools").glob("*.py")}
    assert sorted(COMMANDS.values()) == sorted(tools)


def test_help_names_every_command_and_imports_nothing_heavy(stl):
    done = stl(start=("-c", HELP))
    assert (done.returncode, done.stderr) == (0, "")
    assert {line.split()[0] for line in done.stdout.splitlines() if line[:2] == "  "} >= {*COMMANDS}
    assert ".py" not in done.stdout


@pytest.mark.parametrize("name", ["generate", "generate_corruptions", "generate-corruptions"])
def test_a_command_is_named_as_it_was_started(stl, name):
    done = stl(name, "--help")
    assert done.stdout.startswith("usage: stl generate ")
    assert "\n  stl generate --verify data/cityscapes-c\n" in done.stdout
    assert ".py" not in done.stdout.replace("paths of .py files", "")


def test_an_error_and_a_wrong_name_are_one_line(stl, tmp_path):
    assert stl("report", tmp_path).stderr == (
        f"stl report: error: '{tmp_path}' holds no sweep: expected run.json in it, as stl "
        "robustness --work-dir writes\n"
    )
    done = stl("robustnes")
    assert (done.returncode, done.stderr) == (
        2, "stl: error: unknown command 'robustnes'; did you mean robustness?, see --help\n"
    )  # fmt: skip
    assert stl().returncode == 2


@pytest.mark.parametrize("is_active", [True, False])
def test_what_is_printed_to_be_typed_finds_its_python(stl, is_active):
    own = os.path.join(sys.prefix, "bin")
    path = f"{own}{os.pathsep}{os.environ['PATH']}" if is_active else "/usr/bin:/bin"
    words = "from stl_backbones.cli.started import command_words; print(*command_words('report'))"
    first, *rest = stl(start=("-c", words), PATH=path).stdout.split()
    assert rest[-1] == "report"
    needs_folder = not is_active and sys.prefix != sys.base_prefix
    assert os.path.dirname(first) == (own if needs_folder else "")


def test_warm_up_prepares_every_corruption(monkeypatch, capsys):
    prepared = []
    monkeypatch.setattr(corruptions, "prepare", lambda names, mode: prepared.append((mode, names)))
    monkeypatch.setattr("stl_backbones.cli.started._start", [])
    monkeypatch.setattr(sys, "argv", ["stl", "warm-up"])
    assert main() == 0
    assert prepared == [("exact", CORRUPTIONS), ("fast", CORRUPTIONS)]
    assert capsys.readouterr().out == "19 corruptions are compiled\n"


def test_completion_offers_every_command_option_and_choice(stl, tmp_path):
    pytest.importorskip("shtab")
    (tmp_path / "stl.bash").write_text(stl("completion", "bash").stdout)
    expected = {
        "": {*COMMANDS, "completion", "warm-up"},
        "completion ": {"bash", "zsh"},
        "report --out ": set(),
    }
    for name, module in COMMANDS.items():
        options = import_module(f"stl_backbones.cli.commands.{module}").parse()
        known = options._option_string_actions
        expected[f"{name} --"] = {option for option in known if option.startswith("--")}
        expected |= {f"{name} {option} ": set(map(str, action.choices))
                     for option, action in known.items() if action.choices}  # fmt: skip
    ask = "COMP_WORDS=(stl {}); COMP_CWORD={}; COMPREPLY=(); _shtab_stl; echo ${{COMPREPLY[*]}}"
    lines = [ask.format(words or "''", len(words.split(" "))) for words in expected]
    done = subprocess.run(
        ["bash", "-c", "\n".join(["source stl.bash", *lines])], cwd=tmp_path, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    offered = [set(line.split()) for line in done.stdout.splitlines()]
    differing = {words: (found, own) for (words, own), found in zip(expected.items(), offered,
                 strict=True) if found != own}  # fmt: skip
    assert differing == {}
    assert "compdef" in stl("completion", "zsh").stdout
    assert "invalid choice: 'fish'" in stl("completion", "fish").stderr
