"""``--amp`` in training and prediction."""

import pytest
import torch
from mmengine.config import Config
from torch import nn

from stl_backbones.engine.precision import check_precision, predict_in, repeatable_scoring, train_in
from stl_backbones.errors import InputError


class Segmentor(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone, self.head = nn.Linear(3, 3), nn.Linear(3, 3)

    def extract_feat(self, inputs):
        return (self.backbone(inputs),)

    def forward(self, inputs):
        features = self.extract_feat(inputs)
        return features[0].dtype, self.head(features[0]).dtype


class BaseDetector(Segmentor):
    """Known as mmdet's by its name."""


INPUTS = torch.full((1, 3), 1 / 3)


@pytest.mark.parametrize(
    ("kind", "features", "head"),
    [
        (Segmentor, torch.bfloat16, torch.bfloat16),
        (BaseDetector, torch.float32, torch.float32),  # features are cast back for the heads
    ],
)
def test_a_detector_predicts_with_heads_in_float32(kind, features, head):
    model = kind()
    with predict_in(model, "bfloat16"):
        assert model(INPUTS) == (features, head)
    assert model(INPUTS) == (torch.float32, torch.float32)
    with predict_in(model, None):
        assert model(INPUTS) == (torch.float32, torch.float32)


def test_its_backbone_is_in_low_precision_though():
    model = nn.ModuleDict({"module": BaseDetector()})  # as in test-time augmentation
    model.module = model["module"]
    exact = model.module.extract_feat(INPUTS)[0]
    with predict_in(model, "bfloat16"):
        rounded = model.module.extract_feat(INPUTS)[0]
    assert not torch.equal(rounded, exact)
    assert torch.equal(rounded, rounded.bfloat16().float())
    assert torch.equal(model.module.extract_feat(INPUTS)[0], exact)


def test_bfloat16_trains_without_scaling_of_the_loss():
    config = Config({"optim_wrapper": {"type": "AmpOptimWrapper", "loss_scale": "dynamic",
                                       "optimizer": {"type": "SGD"}}})  # fmt: skip
    train_in(config, None)
    assert config.optim_wrapper.type == "AmpOptimWrapper"
    train_in(config, "bfloat16")
    assert config.optim_wrapper == {"type": "stl_backbones.BFloat16OptimWrapper",
                                    "optimizer": {"type": "SGD"}}  # fmt: skip


def test_float16_trains_with_it_on_a_gpu(monkeypatch):
    config = Config({"optim_wrapper": {"type": "OptimWrapper"}})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    train_in(config, "float16")
    assert config.optim_wrapper == {"type": "AmpOptimWrapper", "loss_scale": "dynamic"}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_float16_needs_a_gpu():
    with pytest.raises(InputError, match="--amp float16 needs a GPU; take --amp bfloat16"):
        check_precision("float16")


def test_other_types_are_refused():
    with pytest.raises(InputError, match="--amp must be one of bfloat16, float16, got 'int8'"):
        check_precision("int8")


def numerics():
    cudnn = torch.backends.cudnn
    products = torch.backends.cuda.matmul.allow_tf32
    return cudnn.allow_tf32, products, cudnn.benchmark, cudnn.deterministic


@pytest.fixture
def fast_and_loose():
    """As torch begins, and as training leaves it: TF32 everywhere, algorithms by timing."""
    cudnn, products = torch.backends.cudnn, torch.backends.cuda.matmul
    before = numerics()
    cudnn.allow_tf32, products.allow_tf32, cudnn.benchmark = True, True, True
    yield
    cudnn.allow_tf32, products.allow_tf32, cudnn.benchmark, cudnn.deterministic = before


def test_scores_are_full_float32_by_the_same_algorithms(fast_and_loose):
    before = numerics()
    with repeatable_scoring(tf32=False):
        assert numerics() == (False, False, False, True)
    assert numerics() == before
    with pytest.raises(ZeroDivisionError), repeatable_scoring(tf32=False):
        _ = 1 / 0
    assert numerics() == before


def test_tf32_is_asked_for_and_needs_a_gpu(fast_and_loose, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with repeatable_scoring(tf32=True):
        assert numerics() == (True, True, False, True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="--tf32 needs a GPU"), repeatable_scoring(tf32=True):
        pass
