"""log.jsonl: whole lines, one run after the other, with warnings and the exit code."""

import json
import logging
import math

import pytest

from stl_backbones.cli.tool import make_parser, run_tool
from stl_backbones.errors import InputError
from stl_backbones.run_log import (
    LOG,
    add_sink,
    is_logged,
    logged_run,
    open_log,
    read_log,
    record,
    record_progress,
)


def events(folder):
    return [one["event"] for one in read_log(folder / LOG)]


def test_a_run_from_its_start_to_its_end(tmp_path):
    with logged_run("tool --x"):
        logging.getLogger("somebody").warning("odd %s", "thing")
        assert not is_logged()
        open_log(tmp_path, model="m")
        record("cell", score=math.nan)
        record_progress(1, 9)
        record_progress(2, 9)  # too soon
        record_progress(9, 9)
    found = read_log(tmp_path / LOG)
    assert [one["event"] for one in found] == [
        "start", "warning", "cell", "progress", "progress", "end",
    ]  # fmt: skip
    assert len({one["run"] for one in found}) == 1
    assert (found[0]["command"], found[0]["model"]) == ("tool --x", "m")
    assert found[1]["text"] == "odd thing"
    assert found[2]["score"] is None
    assert (found[4]["done"], found[4]["memory_mib"] > 0) == (9, True)
    assert found[-1]["exit_code"] == 0


def test_without_a_folder_nothing_is_written_and_without_a_run_nothing_is_logged(tmp_path):
    with logged_run("tool"):
        record("cell")
    open_log(tmp_path)
    record("cell")
    assert list(tmp_path.iterdir()) == []


def test_half_a_line_of_a_killed_run_is_cut_off(tmp_path):
    whole = json.dumps({"event": "start"})
    (tmp_path / LOG).write_text(f'{whole}\n{{"event": "pro')
    assert read_log(tmp_path / LOG) == [{"event": "start"}]
    with logged_run("again"):
        open_log(tmp_path)
    assert events(tmp_path) == ["start", "start", "end"]


@pytest.mark.parametrize(
    ("raised", "code", "text"),
    [
        (None, 1, None),
        (InputError("bad words"), 2, "bad words"),
        (RuntimeError("our bug"), 70, "our bug"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_a_command_ends_with_its_exit_code(tmp_path, raised, code, text, capsys):
    def tool(_):
        open_log(tmp_path)
        if raised is not None:
            raise raised
        return 1

    assert run_tool(make_parser("x"), tool, []) == code
    last = read_log(tmp_path / LOG)[-1]
    assert (last["event"], last["exit_code"], last.get("error")) == ("end", code, text)


def test_a_warning_is_shown_as_before(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest's own
    with logged_run("tool"), logged_run("within"):
        open_log(tmp_path)
        logging.getLogger("somebody").warning("odd")
    assert capsys.readouterr().err == "odd\n"
    assert events(tmp_path) == ["start", "warning", "end"]


def test_events_go_to_others_too(tmp_path):
    seen = []
    with logged_run("tool"):
        open_log(tmp_path)
        add_sink(lambda event, fields: seen.append((event, dict(fields))))
        record("cell", score=0.5)
    assert seen[0] == ("cell", {"score": 0.5})
