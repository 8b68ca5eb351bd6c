"""Steps that never look at the image run once for all versions of it, all others every time."""

import copy

import numpy as np
import pytest

from stl_backbones.robustness.blind_steps import BlindSteps

DARK, BRIGHT = np.zeros((2, 3, 3), np.uint8), np.full((2, 3, 3), 9, np.uint8)


def results(image=DARK, **others):
    return {"img": image, "path": "a.png", "fields": [], **others}


class Loading:
    """Loads a label map, as mmseg's LoadAnnotations does."""

    def __init__(self):
        self.calls = 0

    def __call__(self, given):
        self.calls += 1
        given["labels"] = np.full((2, 3), len(given["path"]))
        given["fields"].append("labels")
        del given["path"]
        return given


def test_labels_are_loaded_once():
    steps, step, done = BlindSteps(), Loading(), {}
    for image in (DARK, BRIGHT, DARK):
        given = results(image)
        made = steps.run(0, step, given, done)
        assert made is given
        assert made["img"] is image
        assert (made.keys(), made["fields"]) == ({"img", "fields", "labels"}, ["labels"])
        assert (made["labels"] == 5).all()
        made["labels"][:] = 77  # what a later step does to them stays in this version
        made["fields"].append("seen")
    assert step.calls == 1


def test_other_results_are_other_labels():
    steps, step, done = BlindSteps(), Loading(), {}
    made = [steps.run(0, step, results(path=path), done)["labels"].max() for path in ("b", "bb")]
    assert (made, step.calls) == ([1, 2], 2)


def test_another_image_is_another_one():
    steps, step = BlindSteps(), Loading()
    for _ in range(2):
        steps.run(0, step, results(), {})
    assert step.calls == 2


def tried(given):
    try:
        return given["img"].max()
    except KeyError:
        return 0


SEEING = {
    "takes it": lambda given: given["img"].max(),
    "tries to": tried,
    "gets it": lambda given: np.max(given.get("img", 0)),
    "asks for it": lambda given: given["img"].max() if "img" in given else 0,
    "pops it": lambda given: np.max(given.pop("img", 0)),
    "copies all": lambda given: np.max(given.copy().get("img", 0)),
    "copies deeply": lambda given: np.max(copy.deepcopy(given).get("img", 0)),
    "unpacks all": lambda given: np.max({**given}.get("img", 0)),
    "makes a dict": lambda given: np.max(dict(given).get("img", 0)),
    "looks through": lambda given: max(np.max(v) for k, v in given.items() if k not in SAID),
    "counts": lambda given: len(given) + np.max(dict(given).get("img", 0)),
}  # fmt: skip
SAID = ("path", "fields", "seen")


@pytest.mark.parametrize("look", SEEING.values(), ids=SEEING)
def test_a_step_that_looks_at_the_image_sees_each_version(look):
    def step(given):
        given["seen"] = look(given)
        return given

    steps, done = BlindSteps(), {}
    for image in (DARK, BRIGHT):
        made, expected = steps.run(0, step, results(image), done), step(results(image))
        assert made["seen"] == expected["seen"]
        assert made.keys() == expected.keys()


@pytest.mark.parametrize("step", [
    lambda given: {"img": given["img"] + 1},
    lambda given: {"new": 1},
    lambda given: None,
], ids=["of new results", "that drops the image", "of nothing"])  # fmt: skip
def test_a_step_that_returns_something_else_is_run_as_it_is(step):
    steps, done = BlindSteps(), {}
    for image in (DARK, BRIGHT):
        made, expected = steps.run(0, step, results(image), done), step(results(image))
        assert (made is None) == (expected is None)
        if made is not None:
            assert made.keys() == expected.keys()
            assert np.array_equal(made.get("img"), expected.get("img"))


def test_a_steps_own_error_is_raised():
    def step(given):
        raise FileNotFoundError("label.png")

    with pytest.raises(FileNotFoundError, match=r"label\.png"):
        BlindSteps().run(0, step, results(), {})
