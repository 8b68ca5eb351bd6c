"""A terminal shows progress, results and where the rest is; the log file has all of it."""

import pytest

DUMPS = ("System environment", "Config:", "Hooks will be executed", "paramwise_options")


@pytest.fixture(scope="module")
def trained(run_tool, mini_option_words, tmp_path_factory):
    place = tmp_path_factory.mktemp("trained")
    done = run_tool(
        "train.py", "configs/seg/stl_fan_t_mini.py", "--work-dir", place, "--cfg-options",
        *mini_option_words, "max_iters=4", "val_interval=4", "warmup_iters=1",
        "default_hooks.logger.interval=2", timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return place, done.stdout


def test_training_shows_its_steps_and_its_score(trained):
    _, shown = trained
    assert [f"Iter(train) [{step}/4]" in shown for step in (2, 4)] == [True, True]
    assert "mIoU" in shown
    assert not [dump for dump in DUMPS if dump in shown]
    assert len(shown.splitlines()) < 15


def test_the_log_file_has_what_the_terminal_has_not(trained):
    place, shown = trained
    (log,) = place.glob("*/*.log")
    assert str(log.parent) in shown
    text = log.read_text(encoding="utf-8")
    assert all(dump in text for dump in DUMPS)


def test_testing_shows_a_few_lines(run_tool, trained, mini_option_words, tmp_path):
    place, _ = trained
    done = run_tool(
        "test.py", "configs/seg/stl_fan_t_mini.py", place / "iter_4.pth", "--work-dir", tmp_path,
        "--cfg-options", *mini_option_words, timeout=300,
    )  # fmt: skip
    assert "mIoU" in done.stdout.splitlines()[-1]
    assert str(tmp_path) in done.stdout
    assert len(done.stdout.splitlines()) < 8
