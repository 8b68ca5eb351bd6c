"""How far work is: a bar where somebody looks on, lines in a log, nothing if that is wanted."""

import math
import re
from dataclasses import replace

import pytest

from stl_backbones import display
from stl_backbones.display import Display, quietly, rate_text, shown_one_by_one
from stl_backbones.robustness.progress import SweepProgress, show_progress

STATE = SweepProgress("set", 10, 100, 0.125, 4, "top-1", 0.9, math.nan, True, 83.0, 2.5)


@pytest.fixture
def clock(monkeypatch):
    """Seconds that a test moves on."""
    now = [100.0]
    monkeypatch.setattr(display.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def looked_at(monkeypatch):
    monkeypatch.setattr(display, "has_bar", lambda: True)


def test_a_log_gets_a_line_every_ten_seconds_and_the_last(capsys, clock):
    with Display("copy", "files") as shown:
        for done in range(101):
            shown.update(done, 100)
            clock[0] += 0.5
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(", ")[0] for line in lines] == [
        "copy:   0%", "copy:  20%", "copy:  40%", "copy:  60%", "copy:  80%", "copy: 100%",
    ]  # fmt: skip
    assert re.fullmatch(r"copy:  20%, 20/100 files, 2.0 files/s, ETA 0:00:40, .* GiB", lines[1])


def test_a_sweep_has_its_score_rate_and_time_left(capsys):
    with show_progress(True) as update:
        update(replace(STATE, targets=("fog/5 >= 0.3: 40 %",)))
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(
        "set, 4 cell(s):  12%, 10/100 images, 2.5 images/s, ETA 0:01:23, top-1 clean 90.0 %, "
    )
    assert second == "  fog/5 >= 0.3: 40 %"


def test_a_bar_has_a_line_for_each_target(capsys, looked_at, clock):
    with show_progress(True) as update:
        for done, texts in ((10, ()), (20, ("a 40 %", "b 30 %")), (30, ("a 41 %", "b 31 %"))):
            clock[0] += 1
            update(replace(STATE, done=done, share=done / 100, targets=texts))
    shown = capsys.readouterr().err
    assert re.search(r"set, 4 cell\(s\):  30%\|.*\| 30/100 images, 2.5 images/s", shown)
    for text in ("a 40 %", "b 30 %", "a 41 %", "b 31 %"):
        assert text in shown


def test_a_message_stays_above_the_bar(capsys, looked_at):
    with Display("copy", "files") as shown:
        shown.update(1, 2)
        shown.message("failed: a.png")
    assert "\rfailed: a.png\n" in capsys.readouterr().err.replace(" ", " ")


def test_nothing_is_shown_to_who_wants_quiet(capsys):
    with quietly(True), Display("copy", "files") as shown:
        shown.update(2, 2)
    with show_progress(False) as update:
        update(STATE)
    assert capsys.readouterr().err == ""


def test_items_come_one_by_one_and_a_short_work_shows_nothing_in_a_log(capsys, clock):
    for item in shown_one_by_one("abcd", "reading", "letters"):
        clock[0] += 4 if item < "d" else 0
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(", ETA")[0] for line in lines] == [
        "reading:  75%, 3/4 letters, 4.0 s/letter"
    ]
    assert list(shown_one_by_one([1, 2], "reading", "numbers")) == [1, 2]
    assert capsys.readouterr().err == ""


def test_rates_below_one_a_second_are_seconds_each():
    assert rate_text(0.25, "images") == "4.0 s/image"
    assert rate_text(0, "images") == rate_text(math.inf, "images") == ""
