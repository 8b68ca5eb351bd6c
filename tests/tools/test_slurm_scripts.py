"""The batch scripts of docs/slurm: what they would start, read by the tools' own parsers."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from faults.bad_commands import find_parser

ROOT = Path(__file__).parents[2]
SCRIPTS = {path.stem: path for path in sorted((ROOT / "docs/slurm").glob("*.sh"))}
RECORDED = {"SLURM_JOB_ID": "123456", "SLURM_CPUS_PER_TASK": "12"}
GIVEN = {
    "DATA": "/data/a set", "COPY": "/data/a copy", "CHECKPOINT": "a model.pth", "SWEEPS": "a b",
    "LABELER": "labeler.pth", "PRETRAINED": "student.pth",
}  # fmt: skip
JOBS = {
    "pretrain_labeler": "pretrain.py", "pretrain_student": "pretrain.py",
    "train_segmentation": "train.py", "train_detection": "train.py",
    "sweep_classification": "robustness.py", "sweep_segmentation": "robustness.py",
    "sweep_detection": "robustness.py", "corrupted_copy": "generate_corruptions.py",
    "report": "report.py",
}  # fmt: skip


@pytest.fixture
def run_script(tmp_path):
    """Run a script where srun and python write down their words; returns these, and the process."""
    words = tmp_path / "words"
    recorder = f'#!/usr/bin/env bash\nprintf "%s\\0" "${{0##*/}}" "$@" >>"{words}"\n'
    for name in ("bin/srun", "suite/.venv/bin/python"):
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_text(recorder)
        path.chmod(0o755)
    (tmp_path / "suite/tools").symlink_to(ROOT / "tools")

    def run(name, **environment):
        done = subprocess.run(
            ["bash", SCRIPTS[name]], capture_output=True, text=True, check=False,
            env={"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
                 "SLURM_SUBMIT_DIR": str(tmp_path / "suite"), **RECORDED, **environment},
        )  # fmt: skip
        return words.read_text().split("\0")[:-1] if words.exists() else [], done

    return run


def test_every_main_job_has_a_script():
    assert SCRIPTS.keys() == JOBS.keys()
    page = (ROOT / "docs/how-to/cluster.md").read_text()
    assert all(f"slurm/{name}.sh" in page for name in JOBS)


@pytest.mark.parametrize("name", JOBS)
def test_a_script_starts_its_tool_with_words_that_it_reads(name, run_script):
    assert subprocess.run(["bash", "-n", SCRIPTS[name]], check=True).returncode == 0
    words, done = run_script(name, **GIVEN)
    assert (done.returncode, done.stderr) == (0, "")
    starter, *rest = words
    assert (starter == "srun") == (name != "report")
    tool = JOBS[name]
    at = rest.index(f"tools/{tool}")
    options = rest[at + 1 :]
    args = find_parser(tool).parse_intermixed_args(options)
    config = getattr(args, "config", None)
    assert config is None or (ROOT / config).is_file()
    if tool in ("pretrain.py", "train.py", "robustness.py"):
        assert (args.launcher, args.data_root, args.amp) == ("slurm", "/data/a set", "bfloat16")
        for pair in args.cfg_options or ():
            assert re.fullmatch(
                r"(batch_size=\d+|labeler=labeler.pth|pretrained=student.pth)", pair
            )
        assert rest[at - 1] == ".venv/bin/python"


@pytest.mark.parametrize("name", [name for name, tool in JOBS.items() if "train" in tool])
def test_a_training_that_ran_before_is_resumed(name, run_script, tmp_path):
    (tmp_path / ".lock").touch()
    words, _ = run_script(name, **GIVEN, WORK=str(tmp_path))
    assert find_parser(JOBS[name]).parse_intermixed_args(words[words.index(
        f"tools/{JOBS[name]}") + 1 :]).resume == "auto"  # fmt: skip


@pytest.mark.parametrize("name", JOBS)
def test_what_is_not_given_is_said(name, run_script):
    words, done = run_script(name)
    assert words == []
    assert done.returncode != 0
    assert re.search(r"(DATA|SWEEPS): \w", done.stderr)


@pytest.mark.parametrize("name", JOBS)
def test_slurms_options_come_first(name):
    """sbatch reads none after the first command."""
    lines = SCRIPTS[name].read_text().splitlines()
    found = [line.startswith("#SBATCH") for line in lines]
    first_command = next(at for at, line in enumerate(lines) if not line.startswith("#"))
    assert sum(found) == sum(found[:first_command]) >= 6
    for line in lines[:first_command]:
        assert not line.startswith("#SBATCH") or re.match(r"#SBATCH --[a-z-]+=\S+$", line)
