"""Evidence and verdicts, by hand and by all orders of small sets."""

import itertools
import math

import numpy as np
import pytest

from stl_backbones.sequential import (
    BoundedMean,
    Covariate,
    decide,
    half_width,
    leave_one_out,
    log_evidence,
    mean_interval,
    visit_order,
)
from stl_backbones.sequential.evidence import _BETS

ALL_ORDERS = np.array(list(itertools.permutations(range(8))))
SMALL = np.array([0.0, 0.0, 1.0, 1.0, 0.5, 0.2, 1.0, 0.0])
EIGHT = BoundedMean(8)
ALPHAS = (0.05, 0.1, 0.2, 0.4)


def test_five_images_by_hand():
    # x = 1, 0, 1 of 5 with m = 1/2: what is left has the means 1/2, 3/8, 1/2, so x - r = 1/2, -3/8,
    # 1/2; a bet of 1 grows to 1, 5/4, 5/3, but no more than 0.75 / r = 1.5, 2, 1.5.
    found = np.exp(log_evidence([1, 0, 1], 0.5, BoundedMean(5), bets=(1.0,)))
    second = 1.5 * (1 - 1.25 * 0.375)
    assert found == pytest.approx([1.5, second, second * (1 + 1.5 * 0.5)])


@pytest.mark.parametrize("side", [1, -1])
def test_closed_form_is_the_direct_product(side):
    x, m = np.random.default_rng(0).random(20), 0.45
    mean, start = BoundedMean(40, -0.5, 1.5), 0.0
    for bet in _BETS:
        wealth = 1.0
        for draw in range(20):
            left = 40 - draw
            rest = (40 * m - x[:draw].sum()) / left
            room = rest + 0.5 if side > 0 else 1.5 - rest
            wealth *= 1 + min(bet / 2 * 40 / left, 0.75 / room) * side * (x[draw] - rest)
        start += wealth / len(_BETS)
    assert log_evidence(x, m, mean, side=side)[-1] == pytest.approx(math.log(start))


@pytest.mark.parametrize("side", [1, -1])
def test_over_all_orders_evidence_at_the_mean_is_worth_one(side):
    x, mean = SMALL[ALL_ORDERS], SMALL.mean()
    assert np.exp(log_evidence(x, mean, EIGHT, side=side)).mean(axis=0) == pytest.approx(1)
    less = np.exp(log_evidence(x, mean + side * 0.03, EIGHT, side=side)).mean(axis=0)
    assert (less < 1).all()


@pytest.mark.parametrize("side", [1, -1])
def test_with_a_covariate_too(side):
    x, z = SMALL[2:7], np.array([0.8, 0.9, 0.6, 0.1, 0.7])
    logs = [
        log_evidence(x[order], x.mean(), BoundedMean(5), side=side,
                     covariate=Covariate(z[order], z.mean()))
        for order in map(list, itertools.permutations(range(5)))
    ]  # fmt: skip
    assert np.exp(logs).mean(axis=0) == pytest.approx(1)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_wrong_verdicts_over_all_orders(alpha):
    x, mean = SMALL[ALL_ORDERS], SMALL.mean()
    for side in (1, -1):
        ever = log_evidence(x, mean, EIGHT, side=side).max(axis=1) >= math.log(1 / alpha)
        assert ever.mean() <= alpha
    # Two gates on their bounds: FAIL by the mean of both is as rare.
    other = SMALL[::-1][ALL_ORDERS]
    broken = [log_evidence(one, mean, EIGHT, side=-1) for one in (x, other)]
    joint = np.logaddexp(*broken) - math.log(2)
    fails = joint.max(axis=1) >= math.log(1 / alpha)
    assert fails.mean() <= alpha
    sampled = range(0, len(x), 997)
    for order in sampled:
        decision = decide([log_evidence(x[order], mean + 0.3, EIGHT)],
                          [one[order] for one in broken], alpha=alpha)  # fmt: skip
        assert (decision.verdict == "FAIL") == fails[order]


def test_intervals_over_orders_leave_the_mean_out_rarely():
    alpha, outside, orders = 0.4, 0, ALL_ORDERS[::997]
    for order in orders:
        ends = [mean_interval(SMALL[order[:n]], EIGHT, alpha=alpha) for n in range(1, 9)]
        outside += any(not low - 1e-9 <= SMALL.mean() <= high + 1e-9 for low, high in ends)
        assert ends[-1] == pytest.approx((SMALL.mean(), SMALL.mean()))
    assert outside / len(orders) <= alpha


def test_what_is_left_cannot_make_it_up():
    # Four of five are wrong: before the last draw "0.3 or more" is impossible.
    found = log_evidence([0, 0, 0, 0, 1], 0.3, BoundedMean(5), side=-1)
    assert np.isfinite(found[:4]).all()
    assert np.isinf(found[4])
    assert np.isfinite(log_evidence([0, 0, 0, 0, 1], 0.2, BoundedMean(5), side=-1)).all()


def test_interval_lies_within_what_is_certain():
    low, high = mean_interval([1.0, 1.0, 0.0], BoundedMean(4), alpha=0.05)
    assert (low, high) == pytest.approx((0.5, 0.75), abs=1e-3)


def test_every_gate_must_be_kept_at_some_time():
    never, early, late = (np.log([1.0, 1, 1, 1]), np.log([1.0, 21, 1, 1]), np.log([1.0, 1, 1, 20]))
    assert decide([early, late], [never, never], alpha=0.05).images == 4
    assert decide([early, never], [never, never], alpha=0.05).verdict == "UNDECIDED"
    # The mean of 21 and 1 is no 20; 40 and 1 is.
    assert decide([never] * 2, [early, never], alpha=0.05).verdict == "UNDECIDED"
    failed = decide([never] * 2, [np.log([1.0, 40, 1, 1]), never], alpha=0.05)
    assert (failed.verdict, failed.images) == ("FAIL", 2)


def test_order_is_of_seed_and_ids_alone():
    keys = [f"image{number}" for number in range(50)]
    order = visit_order(keys, 3)
    assert sorted(order) == list(range(50))
    mixed = keys[::-1]
    assert [keys[i] for i in order] == [mixed[i] for i in visit_order(mixed, 3)]
    assert list(order) != list(visit_order(keys, 4))


def test_robbins_boundary_by_hand():
    # n = 100 of 200 is worth 200; n* = 60.
    rho = 60 / (1 - 2 * math.log(0.05) + math.log(-2 * math.log(0.05)))
    expected = 0.3 * math.sqrt((200 + rho) * math.log((200 + rho) / (rho * 0.05**2))) / 200
    assert half_width(0.3, 100, 200, alpha=0.05) == pytest.approx(expected)
    assert half_width(0.3, 200, 200, alpha=0.05) == 0


def test_leave_one_out_of_a_mean_is_the_values():
    values = np.array([[1.0], [0.0], [2.0]])
    parts = leave_one_out(values, lambda sums: sums[..., 0] / 3)  # of a sum: (n - 1) / 3 x
    assert parts == pytest.approx([2 / 3, 0, 4 / 3])
