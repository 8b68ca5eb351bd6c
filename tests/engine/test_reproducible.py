"""Orders and seeds that depend on seed, epoch, step and rank alone."""

import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, RandomSampler

from stl_backbones.engine.reproducible import EpochSampler, ReproducibleSteps, seed_everything


def order(sampler, epoch=0):
    sampler.set_epoch(epoch)
    return list(sampler)


def of_rank(rank, size, *, count=10):
    sampler = EpochSampler(range(count), seed=3)
    sampler.rank, sampler.world_size = rank, size
    return sampler


def test_every_image_once_per_epoch():
    sampler = EpochSampler(range(10), seed=3)
    assert sorted(order(sampler)) == list(range(10))
    assert order(sampler) == order(sampler)
    assert order(sampler, epoch=1) != order(sampler, epoch=0)
    assert order(EpochSampler(range(10), seed=4)) != order(sampler)


def test_in_order():
    assert order(EpochSampler(range(4), shuffle=False)) == [0, 1, 2, 3]


def test_a_step_of_two_processes_sees_the_images_of_a_step_of_one():
    whole = order(of_rank(0, 1))
    halves = [order(of_rank(rank, 2)) for rank in (0, 1)]
    for start in range(0, 8, 4):
        step = {index for half in halves for index in half[start // 2 : start // 2 + 2]}
        assert step == set(whole[start : start + 4])


def test_shares_are_evened_out():
    shares = [order(of_rank(rank, 4, count=10)) for rank in range(4)]
    assert {len(share) for share in shares} == {3} == {len(of_rank(0, 4))}
    assert set().union(*shares) == set(range(10))


def test_skips_once():
    sampler = EpochSampler(range(10), seed=3)
    whole = order(sampler)
    sampler.skip(6)
    assert len(sampler) == 10
    assert order(sampler) == whole[6:]
    assert order(sampler) == whole


def runner(loader, *, epoch, step):
    return SimpleNamespace(train_dataloader=loader, epoch=epoch, iter=step, seed=0, rank=0)


def test_an_epoch_begins_where_it_stopped():
    sampler = EpochSampler(range(10), seed=3)
    whole = order(sampler, epoch=2)
    loader = DataLoader(range(10), batch_size=2, sampler=sampler)
    ReproducibleSteps().before_train_epoch(runner(loader, epoch=2, step=13))
    assert [batch.tolist() for batch in loader] == [whole[6:8], whole[8:]]


def test_only_an_epoch_sampler_can():
    loader = DataLoader(range(10), batch_size=2, sampler=RandomSampler(range(10)))
    with pytest.raises(ValueError, match="must be an EpochSampler, got RandomSampler"):
        ReproducibleSteps().before_train_epoch(runner(loader, epoch=0, step=1))


def test_the_data_set_is_told_the_epoch():
    class Told(list):
        def set_epoch(self, epoch):
            self.epoch = epoch

    dataset = Told(range(10))
    loader = DataLoader(dataset, batch_size=2, sampler=EpochSampler(dataset))
    ReproducibleSteps().before_train_epoch(runner(loader, epoch=4, step=20))
    assert (dataset.epoch, loader.sampler.epoch) == (4, 4)


def test_seeds_every_generator():
    def draw(*key):
        seed_everything(*key)
        return random.random(), np.random.rand(), torch.rand(()).item()  # noqa: NPY002

    first = draw(0, 5, 0)
    assert draw(0, 5, 0) == first
    for other in (draw(0, 6, 0), draw(0, 5, 1), draw(1, 5, 0)):
        assert not set(first) & set(other)
