"""The campaign of faults ends in time, and says what it left out."""

from __future__ import annotations

import time

from faults import calamities
from faults.calamities import Calamity, Campaign, Finding
from faults.clock import Clock


def test_a_part_has_its_share_of_what_is_left():
    clock = Clock.of_minutes(10)
    half = clock.part(1, of=2)
    assert abs(half.end - time.monotonic() - 300) < 5
    assert clock.part(2, of=2).end > half.end
    assert not clock.is_up
    assert Clock.of_minutes(-1).is_up
    assert Clock.of_minutes(-1).part(1, of=2).is_up


def test_what_the_time_does_not_allow_is_named(tmp_path, monkeypatch):
    campaign = Campaign(None, (), tmp_path)
    names = ["a", "b", "c"]
    end = Clock.of_minutes(1)

    def happen(name):
        monkeypatch.setattr(calamities.Clock, "is_up", True)  # the first takes all the time
        return Finding(name, 1, 1)

    def three():
        return iter([Calamity(name, lambda name=name: happen(name)) for name in names])

    monkeypatch.setattr(campaign, "rivals", three)
    for kind in ("killed_workers", "lost_ranks", "full_disk", "read_only_folder",
                 "cut_off_best", "vanishing_file", "clock_set_back", "many_images"):  # fmt: skip
        monkeypatch.setattr(campaign, kind, lambda: iter(()))
    (finding,) = campaign.run(end, seed=3)
    assert sorted([finding.name, *campaign.left_out]) == names
