"""The time that a campaign may take, and how its parts share it."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Clock:
    """Ends a part of the campaign in time; what is left out is said.

    Args:
        end: When the part must have ended, on `time.monotonic`'s clock.
    """

    end: float

    @classmethod
    def of_minutes(cls, minutes: float) -> Clock:
        """So many minutes from now."""
        return cls(time.monotonic() + 60 * minutes)

    @property
    def is_up(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() >= self.end

    def part(self, weight: float, of: float) -> Clock:
        """From now, a share of the time that is left: what one part does not need, others get.

        Args:
            weight: The part's.
            of: The sum of the weights of this part and of those that follow.
        """
        now = time.monotonic()
        return Clock(now + max(self.end - now, 0.0) * weight / of)


__all__ = ["Clock"]
