"""What the student sees in training, and what the labeler and the evaluation never do."""

import random

import numpy as np
import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner.checkpoint import get_state_dict, load_state_dict
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.data.mixup import cutmix_bbox_and_lam, mixup_target

from stl_backbones.pretraining import preprocessor as module
from stl_backbones.pretraining.erasing import AREA, ASPECT, draw_rectangles, erase
from stl_backbones.pretraining.mixing import Mixing, draw_mixing, mix_images, mix_targets
from stl_backbones.pretraining.preprocessor import STLPreprocessor
from stl_backbones.registry import MODELS

CLASSES = 5
PLAIN = {"erase_prob": 0.0, "mixup_alpha": 0.0, "cutmix_alpha": 0.0, "label_smoothing": 0.0}


@pytest.fixture
def batch():
    """Four images in two equal views."""
    images = torch.randint(0, 256, (4, 3, 24, 32), dtype=torch.uint8,
                           generator=torch.Generator().manual_seed(0))  # fmt: skip
    return {
        "student": images,
        "labeler": images.clone(),
        "label": torch.tensor([0, 4, 2, 2]),
        "path": ["a", "b", "c", "d"],
    }


def make(**kwargs):
    return STLPreprocessor(CLASSES, **kwargs)


def normalised(images):
    scaled = images.double() / 255
    mean = torch.tensor(IMAGENET_DEFAULT_MEAN, dtype=torch.double).view(3, 1, 1)
    std = torch.tensor(IMAGENET_DEFAULT_STD, dtype=torch.double).view(3, 1, 1)
    return ((scaled - mean) / std).float()


def test_evaluation_only_normalises(batch):
    out = make()(batch)
    assert torch.allclose(out["inputs"]["student"], normalised(batch["student"]), atol=1e-6)
    assert torch.equal(out["targets"], torch.eye(CLASSES)[batch["label"]])
    assert (out["labels"].dtype, out["labels"].tolist()) == (torch.int64, [0, 4, 2, 2])
    assert out["paths"] == ["a", "b", "c", "d"]
    assert batch["student"].dtype == torch.uint8


def test_one_view_stays_one(batch):
    del batch["labeler"]
    assert set(make()(batch, True)["inputs"]) == {"student"}


def test_the_labeler_sees_nothing_of_the_student_s_training(batch):
    preprocessor = make(erase_prob=1.0)
    for _ in range(10):
        inputs = preprocessor(batch, True)["inputs"]
        assert torch.allclose(inputs["labeler"], normalised(batch["labeler"]), atol=1e-6)
        assert not torch.allclose(inputs["student"], inputs["labeler"], atol=1e-2)


@pytest.mark.parametrize(
    ("shares", "changes", "same"),
    [
        (("random_erasing",), {"erase_prob": 1.0}, True),
        (("mixup", "cutmix"), {"erase_prob": 1.0}, False),
        (("mixup",), {"mixup_alpha": 0.8}, True),
        (("cutmix",), {"mixup_alpha": 0.8}, False),
        (("cutmix",), {"cutmix_alpha": 1.0}, True),
        (("random_erasing", "mixup"), {"cutmix_alpha": 1.0}, False),
        (("random_erasing", "mixup", "cutmix"),
         {"erase_prob": 0.5, "mixup_alpha": 0.8, "cutmix_alpha": 1.0}, True),
    ],
)  # fmt: skip
def test_table_6_is_a_choice(batch, shares, changes, same):
    preprocessor = make(labeler_view=("spatial", *shares), **{**PLAIN, **changes})
    pairs = [preprocessor(batch, True)["inputs"] for _ in range(8)]
    assert all(torch.equal(pair["student"], pair["labeler"]) for pair in pairs) is same
    changed = [not torch.allclose(pair["student"], normalised(batch["student"])) for pair in pairs]
    assert any(changed)


def test_targets_are_smoothed_by_hand(batch):
    targets = make(**{**PLAIN, "label_smoothing": 0.1})(batch, True)["targets"]
    assert torch.allclose(targets[1], torch.tensor([0.02, 0.02, 0.02, 0.02, 0.92]))


def test_mixup_by_hand():
    images = torch.tensor([1.0, 2.0, 5.0]).view(3, 1, 1, 1).repeat(1, 3, 2, 2)
    mixing = Mixing("mixup", 0.75)
    assert mix_images(images, mixing)[:, 0, 0, 0].tolist() == [2.0, 2.0, 4.0]
    assert mix_targets(torch.eye(3), mixing).tolist() == [
        [0.75, 0.0, 0.25], [0.0, 1.0, 0.0], [0.25, 0.0, 0.75]
    ]  # fmt: skip


def test_cutmix_by_hand():
    images = torch.tensor([1.0, 2.0]).view(2, 1, 1, 1).repeat(1, 1, 2, 4)
    mixed = mix_images(images, Mixing("cutmix", 0.75, rows=(0, 1), columns=(1, 3)))
    assert mixed[0, 0].tolist() == [[1, 2, 2, 1], [1, 1, 1, 1]]
    assert mixed[1, 0].tolist() == [[2, 1, 1, 2], [2, 2, 2, 2]]


class TimmDraws:
    """A generator whose draws are those of numpy's global one."""

    def random(self):
        return np.random.rand()  # noqa: NPY002

    def beta(self, a, b):
        return np.random.beta(a, b)  # noqa: NPY002

    def integers(self, stop):
        return np.random.randint(0, stop)  # noqa: NPY002


@pytest.mark.parametrize("seed", range(20))
def test_cutmix_boxes_and_targets_are_timm_s(seed):
    size, labels = (24, 40), torch.tensor([1, 3, 0, 2])
    options = {"mixup_alpha": 0.0, "cutmix_alpha": 1.0, "switch_prob": 0.5}
    np.random.seed(seed)  # noqa: NPY002
    ours = draw_mixing(size, rng=TimmDraws(), **options)
    np.random.seed(seed)  # noqa: NPY002
    drawn = np.random.beta(1.0, 1.0)  # noqa: NPY002
    (top, bottom, left, right), kept = cutmix_bbox_and_lam((4, 3, *size), drawn)
    assert (ours.rows, ours.columns) == ((top, bottom), (left, right))
    assert ours.kept == pytest.approx(kept)
    smoothed = torch.eye(CLASSES)[labels] * 0.9 + 0.1 / CLASSES
    theirs = mixup_target(labels, CLASSES, kept, 0.1)
    assert torch.allclose(mix_targets(smoothed, ours), theirs, atol=1e-6)


def test_mixing_is_drawn_as_configured():
    rng = np.random.default_rng(0)
    both = {"mixup_alpha": 0.8, "cutmix_alpha": 1.0, "switch_prob": 0.25}
    drawn = [draw_mixing((32, 32), rng=rng, **both) for _ in range(4000)]
    kept = [mixing.kept for mixing in drawn if mixing.kind == "mixup"]
    assert len(kept) / 4000 == pytest.approx(0.75, abs=0.03)
    # Beta(a, a) has variance 1 / (4 (2 a + 1)).
    assert np.var(kept) == pytest.approx(1 / (4 * 2.6), rel=0.1)
    assert draw_mixing((32, 32), rng=rng, **{**both, "cutmix_alpha": 0}).kind == "mixup"
    off = {**both, "mixup_alpha": 0, "cutmix_alpha": 0}
    assert draw_mixing((32, 32), rng=rng, **off) == Mixing()


def test_rectangles_have_timm_s_sizes():
    rng = np.random.default_rng(0)
    drawn = draw_rectangles(4000, (224, 224), prob=0.3, rng=rng)
    assert len(drawn) / 4000 == pytest.approx(0.3, abs=0.03)
    sides = np.array([[s.stop - s.start for s in pair] for pair in drawn.values()])
    area, aspect = sides.prod(axis=1) / 224**2, sides[:, 0] / sides[:, 1]
    assert AREA[0] * 0.9 < area.min() < area.max() < AREA[1] * 1.05
    assert ASPECT[0] * 0.9 < aspect.min() < aspect.max() < ASPECT[1] * 1.1
    ends = np.array([[s.stop for s in pair] for pair in drawn.values()])
    assert ends.max() <= 224


def test_erased_pixels_are_standard_normal():
    images = torch.full((2, 3, 200, 200), 9.0)
    erase([images], {1: (slice(10, 190), slice(0, 200))}, noise=torch.Generator().manual_seed(0))
    assert torch.all(images[0] == 9)
    assert torch.all(images[1, :, :10] == 9)
    patch = images[1, :, 10:190]
    assert float(patch.mean()) == pytest.approx(0, abs=0.02)
    assert float(patch.std()) == pytest.approx(1, abs=0.02)
    assert not torch.equal(patch[0], patch[1])


def outputs(preprocessor, batch, count):
    results = [preprocessor(batch, True) for _ in range(count)]
    return [(result["inputs"]["student"], result["targets"]) for result in results]


def assert_equal(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        assert torch.equal(a[0], b[0])
        assert torch.equal(a[1], b[1])


class Model(BaseModel):
    def forward(self, inputs, **_):
        return inputs


def test_a_restored_state_goes_on_as_if_never_interrupted(batch):
    whole = outputs(make(seed=3), batch, 6)
    first, second = (Model(data_preprocessor=make(seed=3)) for _ in range(2))
    assert_equal(outputs(first.data_preprocessor, batch, 4), whole[:4])
    state = get_state_dict(first)  # as mmengine's checkpoints do
    assert {name: int(value) for name, value in state.items()} == {"data_preprocessor.batches": 4}
    load_state_dict(second, state)
    assert_equal(outputs(second.data_preprocessor, batch, 2), whole[4:])


def test_evaluation_between_batches_changes_no_draw(batch):
    plain, interrupted = make(), make()
    expected = outputs(plain, batch, 2)
    first = outputs(interrupted, batch, 1)
    interrupted(batch)
    assert_equal(first + outputs(interrupted, batch, 1), expected)


def test_seed_and_rank_make_the_draws(batch, monkeypatch):
    base = outputs(make(), batch, 1)
    assert not torch.equal(base[0][0], outputs(make(seed=1), batch, 1)[0][0])
    monkeypatch.setattr(module, "get_rank", lambda: 1)
    assert not torch.equal(base[0][0], outputs(make(), batch, 1)[0][0])


def test_nothing_is_drawn_from_global_generators(batch):
    states = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    outputs(make(), batch, 10)
    assert random.getstate() == states[0]
    assert np.array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), states[2])


@pytest.mark.parametrize(("label", "path"), [(5, "b"), (-1, "b")])
def test_a_label_that_is_no_class_is_named(batch, label, path):
    batch["label"][1] = label
    with pytest.raises(ValueError, match=rf"must be in 0..4 .*, got {label} for '{path}'"):
        make()(batch)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"erase_prob": 1.5}, "erase_prob must be in 0..1, got 1.5"),
        ({"label_smoothing": -0.1}, "label_smoothing must be in 0..1, got -0.1"),
        ({"cutmix_alpha": -1.0}, "must not be negative, got 0.8 and -1.0; 0 turns one off"),
        ({"labeler_view": ("photo",)}, "labeler_view must be a list of"),
    ],
)
def test_bad_values_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_a_config_finds_it(batch):
    made = MODELS.build({"type": "STLPreprocessor"})
    assert isinstance(made, STLPreprocessor)
    assert made(batch)["targets"].shape == (4, 1000)  # ImageNet's


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_same_on_a_gpu(batch):
    ours = make(**{**PLAIN, "mixup_alpha": 0.8, "cutmix_alpha": 1.0})
    theirs = make(**{**PLAIN, "mixup_alpha": 0.8, "cutmix_alpha": 1.0}).cuda()
    for (a, b), (c, d) in zip(outputs(ours, batch, 6), outputs(theirs, batch, 6), strict=True):
        assert c.is_cuda
        assert torch.allclose(a, c.cpu(), atol=1e-5)
        assert torch.allclose(b, d.cpu(), atol=1e-6)
    first, again = (outputs(make(erase_prob=1.0).cuda(), batch, 2) for _ in range(2))
    assert_equal(first, again)
