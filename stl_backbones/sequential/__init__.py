"""Verdicts and intervals from a part of the images, valid whenever one stops: NumPy alone."""

from stl_backbones.sequential.asymptotic import control_slope, half_width, leave_one_out
from stl_backbones.sequential.evidence import (
    METHOD,
    BoundedMean,
    Covariate,
    log_evidence,
    mean_interval,
)
from stl_backbones.sequential.order import order_digest, visit_order
from stl_backbones.sequential.verdict import Decision, Verdict, decide

__all__ = [
    "METHOD", "BoundedMean", "Covariate", "Decision", "Verdict", "control_slope", "decide",
    "half_width", "leave_one_out", "log_evidence", "mean_interval", "order_digest", "visit_order",
]  # fmt: skip
