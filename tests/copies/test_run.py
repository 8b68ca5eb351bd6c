"""A copy is made whole, resumed, shared out; its bytes depend on the plan alone."""

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from stl_backbones.copies import (
    Shard,
    Workplace,
    make_copy,
    read_header,
    read_rows,
    verify,
)
from stl_backbones.copies import worker as worker_module
from stl_backbones.copies.images import OPENCV
from stl_backbones.copies.manifest import digest
from stl_backbones.copies.plan import pending_units
from stl_backbones.corruptions import corrupt
from stl_backbones.records import Cell


def size_of(path):
    """Width and height of a whole image file."""
    with Image.open(path) as image:
        image.load()
        return image.size


def test_every_file_is_the_engine_s_image(cityscapes, make_plan, tmp_path):
    plan = make_plan(cityscapes, seed=5, channel_order="bgr")
    outcome = make_copy(plan, tmp_path / "out")
    assert (outcome.made, outcome.failures, outcome.missing) == (12, (), 0)
    name = "bonn/b_2_leftImg8bit.png"
    clean = np.array(Image.open(cityscapes / "leftImg8bit/val" / name))
    for cell in plan.cells:
        path = tmp_path / f"out/{cell.corruption}/{cell.severity}/val/{name}"
        expected = corrupt(
            clean, cell.corruption, cell.severity, key=name, mode="fast", seed=5,
            channel_order="bgr",
        )  # fmt: skip
        np.testing.assert_array_equal(np.array(Image.open(path)), expected)


def test_manifest_names_every_file_in_order(finished):
    out = finished
    rows = list(read_rows(out / "manifest.jsonl"))
    keys = [(row.corruption, row.severity, row.id) for row in rows]
    assert keys == sorted(keys)
    assert len(set(keys)) == 12
    for row in rows:
        content = (out / row.path).read_bytes()
        assert (row.size, row.blake2b) == (len(content), digest(content))
        assert size_of(out / row.path) == (row.width, row.height) == (48, 40)
    header = read_header(out)
    assert (header.images, header.files, header.mode) == (3, 12, "fast")
    assert header.cells == {"brightness": (1, 3), "pixelate": (1, 3)}
    assert sorted(path.name for path in out.iterdir()) == [
        "brightness", "manifest.json", "manifest.jsonl", "pixelate",
    ]  # fmt: skip


def test_workers_and_shards_do_not_change_a_byte(cityscapes, make_plan, tmp_path, tree, finished):
    plan = make_plan(cityscapes)
    make_copy(plan, tmp_path / "two", workers=2)
    first = make_copy(plan, tmp_path / "shards", shard=Shard(2, 2))
    assert first.missing == 12 - first.made > 0
    assert not (tmp_path / "shards/manifest.json").exists()
    assert make_copy(plan, tmp_path / "shards", shard=Shard(1, 2)).missing == 0
    assert tree(finished) == tree(tmp_path / "two") == tree(tmp_path / "shards")


def test_shards_need_no_locks_of_the_file_system(
    cityscapes, make_plan, tmp_path, tree, finished, monkeypatch
):
    def refuse(file, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", refuse)
    plan, out = make_plan(cityscapes), tmp_path / "shards"
    header = plan.header()
    with Workplace(out, Shard(2, 2)).held(header):  # at work beside the other
        assert make_copy(plan, out, shard=Shard(1, 2)).others_at_work
    assert make_copy(plan, out, shard=Shard(2, 2)).missing == 0
    assert tree(out) == tree(finished)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shards_share_everything_once(cityscapes, make_plan, count):
    plan = make_plan(cityscapes)
    units = [unit for number in range(count) for unit in plan.share(Shard(number + 1, count))]
    cells = sorted((unit.source, cell) for unit in units for cell in unit.cells)
    assert cells == [(source, cell) for source in range(3) for cell in range(4)]


def test_pending_units_leave_out_what_is_done(cityscapes, make_plan):
    done = np.zeros((3, 4), bool)
    done[0] = done[1, 0] = True
    left = pending_units(make_plan(cityscapes).share(Shard()), done)
    assert sum(len(unit.cells) for unit in left) == 7


@pytest.mark.parametrize(("number", "count"), [(0, 2), (3, 2), (1, 0)])
def test_shards_count_from_one(number, count):
    with pytest.raises(ValueError, match="shard must be 1/n to n/n"):
        Shard(number, count)


def test_a_finished_copy_is_left_as_it_is(cityscapes, make_plan, finished):
    plan, out = make_plan(cityscapes), finished
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    assert make_copy(plan, out).made == 0
    assert before == {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}


def test_removed_and_truncated_files_are_made_again(cityscapes, make_plan, finished, tree):
    plan, out = make_plan(cityscapes), finished
    whole = tree(out)
    files = sorted(out.rglob("*.png"))
    files[0].unlink()
    files[5].write_bytes(b"")  # what a power cut leaves
    assert make_copy(plan, out).made == 2
    assert tree(out) == whole


def test_files_that_no_journal_names_are_made_again(
    cityscapes, make_plan, tmp_path, tree, finished
):
    plan, out = make_plan(cityscapes), tmp_path / "again"
    make_copy(plan, out, shard=Shard(1, 2))
    journal = out / ".generation/journal-1-of-2.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[:2]) + lines[2][:30])  # killed while it wrote
    assert make_copy(plan, out).made == 12 - 2
    assert tree(out) == tree(finished)


def test_a_copy_can_be_added_to(cityscapes, make_plan, tmp_path, tree):
    cells = tuple(Cell("brightness", severity) for severity in (1, 2))
    out = tmp_path / "out"
    make_copy(make_plan(cityscapes, cells=cells[:1], limit=2), out)
    assert make_copy(make_plan(cityscapes, cells=cells), out).made == 4
    make_copy(make_plan(cityscapes, cells=cells), tmp_path / "other")
    assert tree(out) == tree(tmp_path / "other")


def test_a_smaller_plan_is_refused(cityscapes, make_plan, finished):
    with pytest.raises(ValueError, match="holds 4 files that this run would not make"):
        make_copy(make_plan(cityscapes, limit=2), finished)
    assert verify(finished) == []


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        ({"seed": 1}, "seed: there 0, now 1"),
        ({"channel_order": "bgr"}, "channel_order: there rgb, now bgr"),
        ({"mode": "reference"}, "mode: there fast, now reference"),
    ],
)
def test_another_copy_s_folder_is_refused(cityscapes, make_plan, finished, engine, message):
    with pytest.raises(ValueError, match=message):
        make_copy(make_plan(cityscapes, **engine), finished)


def test_another_version_is_refused_also_before_the_end(cityscapes, make_plan, tmp_path):
    out = tmp_path / "out"
    make_copy(make_plan(cityscapes), out, shard=Shard(1, 2))
    path = out / ".generation/header.json"
    header = json.loads(path.read_text())
    header["versions"]["opencv"] = "0.1"
    path.write_text(json.dumps(header))
    with pytest.raises(ValueError, match=r"versions.opencv: there 0\.1, now"):
        make_copy(make_plan(cityscapes), out, shard=Shard(2, 2))


def test_a_stranger_s_folder_is_refused(cityscapes, make_plan, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home/letter.txt").write_text("dear")
    with pytest.raises(ValueError, match="holds files that were not made by this tool"):
        make_copy(make_plan(cityscapes), tmp_path / "home")
    with pytest.raises(ValueError, match="is a file; expected a folder"):
        make_copy(make_plan(cityscapes), tmp_path / "home/letter.txt")


def test_two_runs_at_once_are_refused(cityscapes, make_plan, tmp_path):
    plan, out = make_plan(cityscapes), tmp_path / "out"
    with (
        Workplace(out, Shard(1, 2)).held(plan.header()),
        pytest.raises(ValueError, match="is being written by process"),
    ):
        make_copy(plan, out)
    with (
        Workplace(out, Shard(1, 2)).held(plan.header()),
        pytest.raises(ValueError, match="is being written by process"),
    ):
        make_copy(plan, out, shard=Shard(1, 2))
    assert make_copy(plan, out).missing == 0


def test_the_last_shard_writes_the_manifest(cityscapes, make_plan, tmp_path):
    plan, out = make_plan(cityscapes), tmp_path / "out"
    make_copy(plan, out, shard=Shard(2, 2))
    with Workplace(out, Shard(2, 2)).held(plan.header()):  # at work again, with nothing to do
        first = make_copy(plan, out, shard=Shard(1, 2))
        assert first.others_at_work
        assert not (out / "manifest.json").exists()
    assert make_copy(plan, out, shard=Shard(2, 2)).missing == 0


def test_one_broken_image_does_not_stop_the_others(cityscapes, make_plan, tmp_path, save):
    broken = cityscapes / "leftImg8bit/val/bonn/b_2_leftImg8bit.png"
    broken.write_bytes(broken.read_bytes()[:-100])
    plan, out = make_plan(cityscapes), tmp_path / "out"
    outcome = make_copy(plan, out)
    assert (outcome.made, outcome.missing) == (8, 4)
    assert {failure.split("': ")[0] for failure in outcome.failures} == {f"'{broken}"}
    assert "damaged" in outcome.failures[0]
    assert not (out / "manifest.json").exists()
    save(broken)
    assert make_copy(plan, out).made == 4
    assert verify(out) == []


def test_a_broken_image_taken_away_is_no_longer_missed(cityscapes, make_plan, tmp_path):
    broken = cityscapes / "leftImg8bit/val/bonn/b_2_leftImg8bit.png"
    broken.write_bytes(b"")
    make_copy(make_plan(cityscapes), tmp_path / "out")
    broken.unlink()
    outcome = make_copy(make_plan(cityscapes), tmp_path / "out")
    assert (outcome.made, outcome.missing) == (0, 0)
    assert read_header(tmp_path / "out").images == 2


def collect(task, plan, out, monkeypatch, **patches):
    """Work a task off in this process; returns the reports."""
    for name, value in patches.items():
        monkeypatch.setattr(worker_module, name, value)
    monkeypatch.setattr(worker_module.signal, "signal", lambda *args: None)
    (out / "partial").mkdir(parents=True)
    job = worker_module.Job(out, out / "partial", plan.engine, plan.encoding, False, OPENCV, ())

    class End:
        tasks, reports = [task], []

        def recv(self):
            if not self.tasks:
                raise EOFError
            return self.tasks.pop()

        def send(self, report):
            self.reports.append(report)

    end = End()
    worker_module.work(end, job)
    return end.reports


@pytest.fixture
def task(cityscapes, make_plan):
    plan = make_plan(cityscapes)
    return plan, worker_module.Task(plan.sources[0], plan.cells)


def test_what_is_written_once_survives_a_power_cut(cityscapes, make_plan, tmp_path, monkeypatch):
    synced, sync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(sync(file)))
    out = tmp_path / "out"
    make_copy(make_plan(cityscapes), out)
    assert len(synced) == 2  # how the copy is made, at its beginning and its end
    assert (out / "manifest.json").exists()


def test_a_full_disk_stops_the_run(task, tmp_path, monkeypatch):
    made = []

    def full(path, content, partial):
        if len(made) == 3:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        made.append(path)

    reports = collect(task[1], task[0], tmp_path / "out", monkeypatch, replace_with=full)
    assert reports[-1].stop.errno == errno.ENOSPC
    assert [row.path for report in reports for row in report.rows] == [
        path.relative_to(tmp_path / "out").as_posix() for path in made
    ]


def test_a_corruption_that_raises_is_one_line(task, tmp_path, monkeypatch):
    real = worker_module.corrupt_all

    def raising(image, names, severities, **options):
        if names == ["brightness"]:
            raise ZeroDivisionError("division by zero")
        return real(image, names, severities, **options)

    (report,) = collect(task[1], task[0], tmp_path / "out", monkeypatch, corrupt_all=raising)
    assert report.finished
    (failure,) = report.failures
    assert failure.endswith("b_1_leftImg8bit.png', brightness: ZeroDivisionError: division by zero")
    assert [row.corruption for row in report.rows] == ["pixelate", "pixelate"]


@pytest.fixture
def small_disk(tmp_path):
    """A real disk of 200 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(disk)]
    try:
        done = subprocess.run(mount, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("no mount")
    if done.returncode != 0:
        pytest.skip("no permission to mount a small disk")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_really_fills_up(cityscapes, make_plan, small_disk, save, scene):
    for number in range(20):
        save(cityscapes / f"leftImg8bit/val/ulm/v_{number}.png", scene(number))
    plan, out = make_plan(cityscapes), small_disk / "out"
    with pytest.raises(OSError, match=r"stopped after \d+ of 92 files: the disk is full") as error:
        make_copy(plan, out)
    assert error.value.errno == errno.ENOSPC  # no bug of ours
    made = int(error.value.strerror.split()[2])
    files = list(out.rglob("*.png"))
    assert made <= len(files) < 92
    assert {size_of(path) for path in files} == {(48, 40)}
    assert not list(out.rglob("*.partial"))
    assert not (out / "manifest.json").exists()


SCRIPT = """
import sys, time
from pathlib import Path
from stl_backbones.copies import worker
from stl_backbones.copies import make_copy, Plan, find_sources, get_layout
from stl_backbones.records import Cell, CorruptionEngine

def slow_read(path, *, read=worker.read_image, **how):
    time.sleep(0.12)
    return read(path, **how)

worker.read_image = slow_read  # in the workers too: they import this file

def main():
    layout = get_layout("cityscapes")
    encoding = layout.encoding(None)
    cells = tuple(Cell(name, level) for name in ("brightness", "pixelate") for level in (1, 3))
    root = Path(sys.argv[1])
    sources = find_sources(root, layout, split="val", encoding=encoding).sources
    plan = Plan(layout, "val", "all", sources, cells, CorruptionEngine("fast"), encoding, {})
    make_copy(plan, Path(sys.argv[2]), workers=2)

if __name__ == "__main__":
    main()
"""


@pytest.fixture
def slow_run(cityscapes, tmp_path, save, scene, repo_root):
    """Start a process that makes a copy in about a second; with its output's path."""
    for number in range(7):
        save(cityscapes / f"leftImg8bit/val/ulm/v_{number:02d}.png", scene(number))
    script = tmp_path / "slow_run.py"
    script.write_text(SCRIPT)
    started = []

    def start():
        process = subprocess.Popen(
            [sys.executable, str(script), str(cityscapes), str(tmp_path / "out")],
            env={**os.environ, "PYTHONPATH": str(repo_root)},
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start, tmp_path / "out"
    for process in started:
        process.kill()
        process.wait()
        process.stderr.close()


def children(process):
    """The worker processes."""
    found = []
    for name in os.listdir("/proc"):
        try:
            with open(f"/proc/{name}/stat") as file:
                parent = int(file.read().rpartition(")")[2].split()[1])
            with open(f"/proc/{name}/cmdline") as file:
                is_worker = "spawn_main" in file.read()
        except (OSError, ValueError, IndexError):
            continue
        if parent == process.pid and is_worker:
            found.append(int(name))
    return found


def journaled(out):
    return [row.path for row in Workplace(out, Shard()).rows()]


def test_killed_and_started_again(slow_run, cityscapes, make_plan, tmp_path, tree, wait_until):
    start, out = slow_run
    process = start()
    wait_until(lambda: journaled(out))
    workers = children(process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in workers))
    kept = {path: (out / path).stat().st_mtime_ns for path in journaled(out)}
    assert 0 < len(kept) < 40
    assert not (out / "manifest.json").exists()
    plan = make_plan(cityscapes)
    assert make_copy(plan, out).made == 40 - len(kept)
    assert kept == {path: (out / path).stat().st_mtime_ns for path in kept}
    make_copy(plan, tmp_path / "other", workers=2)
    assert tree(out) == tree(tmp_path / "other")


def test_a_killed_worker_s_image_is_tried_again(slow_run, wait_until):
    start, out = slow_run
    process = start()
    wait_until(lambda: journaled(out))
    os.kill(children(process)[0], signal.SIGKILL)
    assert process.wait(60) == 0
    assert read_header(out).files == 40
    assert verify(out) == []


def test_a_worker_that_always_dies_is_reported(slow_run, wait_until):
    """Each worker is killed at once; the run must end, with a reason."""
    start, _ = slow_run
    process = start()
    while process.poll() is None:
        for pid in children(process):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
    assert process.returncode == 1
    assert "worker processes keep dying (signal 9)" in process.stderr.read()
