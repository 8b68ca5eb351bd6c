"""What a record says of the numbers that a model computes in."""

import pytest
import torch

from stl_backbones.records import Provenance
from stl_backbones.robustness.options import SweepOptions
from stl_backbones.robustness.provenance import describe

FIELDS = {
    "task": "classification", "model": "m", "dataset": "d", "dataset_fingerprint": "f",
    "num_images": 5, "num_images_total": 5, "skipped": (), "classes": ("a", "b"),
    "config_sha256": "c", "checkpoint_sha256": "s", "corruption_source": "on-the-fly",
    "corruption_mode": "fast", "corruption_package": "p", "channel_order": "rgb", "seed": 0,
}  # fmt: skip


def described(inference, **options) -> Provenance:
    return describe(
        SweepOptions("imagenet-c", **options), libraries=(), inference=inference, **FIELDS
    )


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")


@pytest.mark.parametrize(
    ("tf32", "inference"), [(False, "whole, bfloat16, no TF32"), (True, "whole, bfloat16, TF32")]
)
def test_on_a_gpu_it_says_whether_tf32_was_used(gpu, tf32, inference):
    found = described("whole, bfloat16", tf32=tf32)
    assert (found.device, found.inference) == ("a GPU", inference)


def test_with_and_without_tf32_are_no_one_table(gpu):
    assert described("whole").differences(described("whole", tf32=True)) == {
        "inference": ("whole, no TF32", "whole, TF32")
    }


def test_on_the_cpu_records_are_as_they_were(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert described("whole").inference == "whole"
