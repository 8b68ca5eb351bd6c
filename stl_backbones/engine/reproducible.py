"""Steps that do not depend on what ran before them: a resumed run equals an uninterrupted one."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sized
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_dist_info
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import Sampler

from stl_backbones.errors import InputError
from stl_backbones.registry import DATA_SAMPLERS, HOOKS


@DATA_SAMPLERS.register_module()
class EpochSampler(Sampler[int]):
    """Every image once per epoch, in an order drawn from (seed, epoch); can start mid-way.

    Each process gets every n-th image of the one order, so that a step of several processes sees
    the images of the same step of one.

    Args:
        dataset: The data set.
        shuffle: Draw an order; else by index.
        seed: Another seed, another order.
    """

    def __init__(self, dataset: Sized, *, shuffle: bool = True, seed: int | None = None) -> None:
        self.dataset, self.shuffle = dataset, shuffle
        self.seed = seed or 0
        self.rank, self.world_size = get_dist_info()
        self.epoch = 0
        self._skip = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next."""
        self.epoch = epoch

    def skip(self, samples: int) -> None:
        """Leave out the first samples of this process in the next iteration, and only in that."""
        self._skip = samples

    def __iter__(self) -> Iterator[int]:
        count = len(self.dataset)
        draw = np.random.default_rng((self.seed, self.epoch)).permutation
        order = draw(count) if self.shuffle else np.arange(count)
        # Wrapped around, so that all processes have equally many.
        mine = np.resize(order, len(self) * self.world_size)[self.rank :: self.world_size]
        start, self._skip = self._skip, 0
        return iter(mine[start:].tolist())

    def __len__(self) -> int:
        """Samples of this process in a whole epoch."""
        return -(-len(self.dataset) // self.world_size)


@HOOKS.register_module()
class ReproducibleSteps(Hook):
    """Draw what is random in a step from (seed, step, rank); start epochs where they stopped.

    mmengine saves no generator's state. With this hook, `EpochSampler`, and a data set whose draws
    depend on (seed, epoch, index), none is needed: a resumed run goes on exactly, with any number
    of data workers. Another number of processes is refused when it resumes.
    """

    priority = "VERY_HIGH"

    def before_train_epoch(self, runner: Runner) -> None:
        """Set the epoch of data set and sampler, and what of it is done already."""
        loader = runner.train_dataloader
        for part in (loader.dataset, loader.sampler):
            if hasattr(part, "set_epoch"):
                part.set_epoch(runner.epoch)
        done = runner.iter - runner.epoch * len(loader)
        if done:
            if not isinstance(loader.sampler, EpochSampler):
                raise InputError(
                    f"cannot go on {done} steps into epoch {runner.epoch + 1}: the sampler must be "
                    f"an EpochSampler, got {type(loader.sampler).__name__}"
                )
            loader.sampler.skip(done * loader.batch_size)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Seed all generators for this step."""
        del batch_idx, data_batch
        seed_everything(runner.seed, runner.iter, runner.rank)


def seed_everything(*key: int) -> None:
    """Seed the generators of Python, NumPy and torch from some numbers."""
    state = int(np.random.SeedSequence(key).generate_state(1)[0])
    random.seed(state)
    np.random.seed(state)  # noqa: NPY002  libraries still draw from the global generator
    torch.manual_seed(state)


__all__ = ["EpochSampler", "ReproducibleSteps", "seed_everything"]
