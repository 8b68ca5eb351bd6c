"""Wrong command lines of every tool: no option is forgotten, and each error is one line."""

import pytest

from faults.bad_commands import TOOLS, WRONG, find_parser, options_of

# Flags, and options that a catalogue of another kind of input covers with files.
_BY_FILES = {"--checkpoint"}


@pytest.mark.parametrize("tool", TOOLS)
def test_every_option_has_a_wrong_value_in_the_catalogue(tool):
    takes_value = {name for name, count in options_of(tool).items() if count != 0}
    assert takes_value - _BY_FILES <= WRONG[tool].keys()
    assert WRONG[tool].keys() <= options_of(tool).keys()


@pytest.mark.parametrize("tool", TOOLS)
def test_every_option_without_its_value_and_every_flag_with_one(tool, capsys):
    for option, count in options_of(tool).items():
        if count == 0:
            line = error_of(tool, [f"{option}=yes"], capsys)
            assert f"argument {option}: ignored explicit argument 'yes'" in line
        elif count != "?":
            assert f"argument {option}: expected" in error_of(tool, [option], capsys)


def error_of(tool, words, capsys):
    with pytest.raises(SystemExit) as left:
        find_parser(tool).parse_intermixed_args(words)
    assert left.value.code == 2
    got = capsys.readouterr()
    assert got.out == ""
    (line,) = got.err.splitlines()
    assert line.endswith(", see --help")
    return line


@pytest.mark.parametrize(
    ("tool", "words", "says"),
    [
        ("train.py", [], "required: config"),
        ("train.py", ["x.py", "--nosuch", "3"], "unrecognized arguments: --nosuch 3"),
        ("train.py", ["x.py", "--wrk-dir", "3"], "did you mean --work-dir?"),
        ("train.py", ["x.py", "--launcher", "ssh"], "invalid choice: 'ssh'"),
        ("train.py", ["x.py", "--work-dir", ""], "--work-dir: expected some text, got ''"),
        ("train.py", ["--resume", "x.py"], "words after --resume belong to it: put the others"),
        ("robustness.py", ["--severities", "1", "x.py"], "number, got 'x.py'; words after --sever"),
        ("robustness.py", ["--limit", "x.py"], "expected a whole number, got 'x.py', see"),
        ("robustness.py", ["--limit", "0"], "expected a whole number of at least 1, got '0'"),
        ("robustness.py", ["--limit", "1e9"], "expected a whole number, got '1e9'"),
        ("robustness.py", ["--seed", "-1"], "expected a whole number of at least 0, got '-1'"),
        ("robustness.py", ["--severities", "1", "6"], "a number in 1..5, got '6', see"),
        ("robustness.py", ["--crop-pct", "nan"], "expected a number, got 'nan'"),
        ("robustness.py", ["--crop-pct", "1\n2"], "expected a number, got '1 2'"),
        ("robustness.py", ["--tta=yes"], "ignored explicit argument 'yes'"),
        ("report.py", ["x", "--precision", "7"], "in 0..6, got '7'"),
        ("report.py", ["x", "--resamples", "9" * 12], "in 0..1000000, got '999999999999'"),
        ("demo.py", ["--limit", "0"], "of at least 1, got '0'"),
        ("visualize_token_labels.py", ["a", "b", "--severity", "0"], "in 1..5, got '0'"),
        ("export_onnx.py", ["a", "b", "--size", "0", "0"], "of at least 1, got '0'"),
    ],
)
def test_an_error_is_one_line(tool, words, says, capsys):
    assert says in error_of(tool, words, capsys)


def test_words_after_two_dashes_are_no_severities():
    words = ["--severities", "1", "4", "--", "x.py", "x.pth"]
    args = find_parser("robustness.py").parse_intermixed_args(words)
    assert (args.severities, args.config, args.checkpoint) == ([1, 4], "x.py", "x.pth")


def test_the_demo_says_itself_that_its_folder_is_none(run_tool, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    done = run_tool("demo.py", "--out", file)
    assert done.returncode == 2
    assert done.stderr.startswith("demo.py: error: ")
    assert done.stdout == ""


def test_a_bound_of_nothing(run_tool, tmp_path):
    done = run_tool("report.py", tmp_path, "--require-lower-bound")
    assert done.returncode == 2
    assert "--require-lower-bound judges by --require, which is not given" in done.stderr
