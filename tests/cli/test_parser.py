"""The small languages of the command line, on any text."""

import argparse
import math

import pytest

from stl_backbones.cli.commands.make_mini_data import MAX_SIDE, parse_size
from stl_backbones.cli.parser import finite_number, some_text, whole_from
from stl_backbones.cli.tool import make_parser, parse_options, run_tool
from stl_backbones.copies.request import find_shard
from stl_backbones.report.numbers.requirements import parse_requirement

hypothesis = pytest.importorskip("hypothesis")
from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

MARKS = st.text("0123456789()[],.x/<>=+-eE ainfab'\"²", max_size=20)
quick = hypothesis.settings(max_examples=300, deadline=None, derandomize=True, database=None)


@quick
@given(st.integers(-20, 20), st.integers(-20, 20), st.integers(0, 9))
def test_whole_numbers_of_a_range(number, least, width):
    read = whole_from(least, least + width)
    if least <= number <= least + width:
        assert read(str(number)) == number
    else:
        with pytest.raises(argparse.ArgumentTypeError, match=r"expected a whole number in"):
            read(str(number))


@quick
@given(MARKS)
def test_a_number_is_finite_or_refused(text):
    try:
        number = finite_number(text)
    except argparse.ArgumentTypeError:
        return
    assert math.isfinite(number)
    assert number == float(text)


@quick
@given(MARKS)
def test_options_are_read_or_refused_by_name(value):
    options, got = {"part.name": None}, "--cfg-options part.name: "
    try:
        options = parse_options([f"part.name={value}"])
    except ValueError as error:
        got = str(error)
    assert list(options) == ["part.name"]
    assert got.startswith("--cfg-options part.name: ")


@quick
@given(st.lists(st.integers(-999, 999), min_size=2, max_size=4))
def test_options_round_trip(numbers):
    listed = ",".join(map(str, numbers))
    pairs = [f"a=({listed})", f"b=[{listed}]", f"c={listed}"]
    assert parse_options(pairs) == {"a": tuple(numbers), "b": numbers, "c": numbers}


@pytest.mark.parametrize("pair", ["a", "=3", ".a=3", "a..b=3", "a.=3", ""])
def test_an_option_without_name_is_refused(pair):
    with pytest.raises(ValueError, match=r"takes NAME=VALUE, got"):
        parse_options([pair])


@pytest.mark.parametrize("value", ["(64,64", "[64,64)", "((1,2)", "(128", "[1", "a,(b"])
def test_brackets_that_do_not_match(value):
    with pytest.raises(ValueError, match=r"--cfg-options size: '.*brackets that do not match"):
        parse_options([f"size={value}"])


@quick
@given(MARKS)
def test_a_size_is_two_sides_or_refused(text):
    try:
        width, height = parse_size(text)
    except ValueError:
        return
    assert [width, height] == [int(side) for side in text.split("x")]
    assert max(width, height) <= MAX_SIDE


@quick
@given(st.integers(1, 50), st.integers(1, 50))
def test_a_shard_is_within_its_count_or_refused(number, count):
    try:
        shard = find_shard(f"{number}/{count}", {})
    except ValueError:
        assert number > count
        return
    assert number <= count
    assert (shard.number, shard.count) == (number, count)


@quick
@given(MARKS)
def test_any_shard_is_read_or_refused(text):
    try:
        shard = find_shard(text, {})
    except ValueError:
        return
    assert 1 <= shard.number <= shard.count


@quick
@given(st.sampled_from([">=", ">", "<=", "<"]), st.floats(0, 1))
def test_requirements_round_trip(comparison, bound):
    requirement = parse_requirement(f"fog/5 {comparison} {bound!r}")
    assert (requirement.name, requirement.comparison) == ("fog/5", comparison)
    assert requirement.bound == bound


@quick
@given(MARKS)
def test_any_requirement_is_read_or_refused(text):
    try:
        requirement = parse_requirement(text)
    except (ValueError, KeyError):
        return
    assert math.isfinite(requirement.bound)


def test_an_empty_word_is_refused():
    with pytest.raises(argparse.ArgumentTypeError, match=r"expected some text, got ' '"):
        some_text(" ")


def test_a_bug_shows_its_traceback_and_says_so(capsys):
    def main(args):
        raise IndexError("our fault")

    assert run_tool(make_parser("a tool"), main, []) == 70
    got = capsys.readouterr().err
    assert "IndexError: our fault" in got
    assert "this is a bug in stl_backbones" in got.splitlines()[-1]


def test_names_keep_their_spaces():
    """mmengine drops them; a class of that name would then be found nowhere."""
    options = parse_options(["a=('traffic light','car')", "b=[traffic light,car]", "c=(1,)"])
    assert options == {"a": ("traffic light", "car"), "b": ["trafficlight", "car"], "c": (1,)}
