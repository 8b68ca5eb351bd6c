"""SplitMix64 by position: the right words, even, and independent."""

import numpy as np
import pytest
import torch
from scipy.stats import chisquare, kstest

from stl_backbones.corruptions.torch_backend import draws
from stl_backbones.corruptions.torch_backend.draws import Draws

CPU = torch.device("cpu")


def test_words_are_splitmix64s():
    """Published outputs of splitmix64.c for the state 1234567 (rosettacode.org, Splitmix64)."""
    words = draws._words(torch.tensor([1234567]), 5)[0]

    assert [word % 2**64 for word in words.tolist()] == [
        6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431,
        16408922859458223821,
    ]  # fmt: skip


def test_the_host_draws_the_same_words():
    key = 0xFEDCBA9876543210

    word = draws._words(torch.tensor([key - 2**64]), 1).item() % 2**64

    assert draws._unit(key) == (word >> 11) / 2**53


@pytest.mark.parametrize("byte", range(8))
def test_every_byte_is_even(byte):
    words = draws._words(torch.tensor([9]), 1 << 17).view(torch.uint8).view(-1, 8)[:, byte]

    assert chisquare(np.bincount(words.numpy(), minlength=256)).pvalue > 1e-3


def test_uniform_is_uniform():
    values = Draws([5], CPU).uniform("x", (200_000,)).numpy().ravel()

    assert values.min() >= 0
    assert values.max() < 1
    assert kstest(values, "uniform").pvalue > 1e-3


def test_normal_is_normal():
    values = Draws([5], CPU).normal("x", (200_000,)).numpy().ravel()

    assert kstest(values, "norm").pvalue > 1e-3
    assert values.std() == pytest.approx(1, abs=0.01)
    assert np.abs(values).max() > 4


def test_levels_reach_both_ends():
    levels = Draws([5], CPU).levels("x", (1 << 21,))

    assert (levels.min().item(), levels.max().item()) == (0, 65535)


@pytest.mark.parametrize("lag", [1, 2, 3, 4, 64, 2048])
def test_neighbours_are_not_correlated(lag):
    values = Draws([5], CPU).normal("x", (1 << 18,)).numpy().ravel()

    assert abs(np.mean(values[lag:] * values[:-lag])) < 4 / np.sqrt(len(values))


def test_seeds_and_labels_are_not_correlated():
    """Also neighbouring seeds: 0..31, and two labels each."""
    several = Draws(range(32), CPU)
    values = torch.cat([several.normal(label, (1 << 14,)) for label in "ab"]).numpy()

    products = values @ values.T / values.shape[1]

    np.fill_diagonal(products, 0)
    assert np.abs(products).max() < 4.8 / np.sqrt(values.shape[1])


def test_first_values_of_neighbouring_seeds_are_uniform():
    first = Draws(range(20_000), CPU).uniform("x", (1,)).numpy().ravel()
    angles = Draws(range(20_000), CPU).numbers("x", 0.0, 1.0)

    assert kstest(first, "uniform").pvalue > 1e-3
    assert kstest(angles, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(angles[1:], angles[:-1])[0, 1]) < 4 / np.sqrt(20_000)


def test_integers_reach_all_values():
    drawn = Draws(range(600), CPU).integers("x", [6] * 600)

    assert chisquare(np.bincount(drawn, minlength=6)).pvalue > 1e-3


@pytest.mark.parametrize("kind", ["uniform", "normal", "levels"])
def test_a_longer_draw_begins_with_a_shorter_one(kind):
    several = Draws([1, 2, 3], CPU)

    assert torch.equal(
        getattr(several, kind)("x", (1001,))[:, :77], getattr(several, kind)("x", (77,))
    )
