"""How many images a verdict takes, and how often it is wrong: a simulated population.

    python benchmarks/sequential.py [--orders N] [--processes N] [--picture FILE.svg]

50,000 images in 76 cells: ResNet-50's accuracies by RobustBench; right or wrong by a probit of an
image's difficulty, of image x corruption, and noise. Order, evidence, verdicts and intervals are
the package's own; no network is run.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from functools import partial
from multiprocessing import Pool
from statistics import NormalDist
from typing import Any

import numpy as np

from stl_backbones import corrupt
from stl_backbones.corruptions import get_protocol
from stl_backbones.report.read.metrics import find_task
from stl_backbones.robustness.stopping.judge import Judge
from stl_backbones.robustness.stopping.linear import Linear
from stl_backbones.robustness.stopping.questions import Part, Question
from stl_backbones.robustness.stopping.scores import Scores
from stl_backbones.robustness.stopping.targets import Target
from stl_backbones.sequential import BoundedMean, Covariate, decide, log_evidence, mean_interval

ALPHA = 0.05
TOTAL = 50_000
# RobustBench (MIT), model_info/imagenet/corruptions/unaggregated_results.csv: by severity.
RESNET50 = {
    "shot_noise": (0.5828, 0.4486, 0.2856, 0.1026, 0.0352),
    "motion_blur": (0.636, 0.5342, 0.3754, 0.2158, 0.1452),
    "snow": (0.5468, 0.312, 0.3494, 0.2344, 0.165),
    "pixelate": (0.638, 0.6434, 0.4598, 0.293, 0.2088),
    "gaussian_noise": (0.602, 0.4878, 0.3124, 0.1422, 0.0288),
    "defocus_blur": (0.5914, 0.5154, 0.3808, 0.2752, 0.1824),
    "brightness": (0.736, 0.7222, 0.6958, 0.6496, 0.5886),
    "fog": (0.6092, 0.56, 0.4674, 0.4024, 0.236),
    "zoom_blur": (0.5258, 0.4302, 0.356, 0.2844, 0.2194),
    "frost": (0.6106, 0.4366, 0.3064, 0.2864, 0.2258),
    "glass_blur": (0.5362, 0.3974, 0.1708, 0.1306, 0.1034),
    "impulse_noise": (0.4854, 0.3862, 0.2904, 0.113, 0.0244),
    "contrast": (0.6428, 0.5824, 0.466, 0.2098, 0.0542),
    "jpeg_compression": (0.6644, 0.6234, 0.6004, 0.4786, 0.3254),
    "elastic_transform": (0.6684, 0.4514, 0.5456, 0.4122, 0.1702),
}
EIGHT = (0, 5, 12, 20, 33, 47, 61, 74)  # cells of the eight gates
FOG5 = 5 * list(RESNET50).index("fog") + 4
Base = tuple[np.ndarray, Mapping[str, np.ndarray]]


def population(
    rng: np.random.Generator, *, gain: float = 0.0, base: Base | None = None, share: float = 0.85
) -> tuple[np.ndarray, np.ndarray, Base]:
    """Results ``(N, 76)`` of 0 and 1, clean first; the clean confidence; and the difficulties.

    Args:
        rng: Draws it.
        gain: Added to every corrupted accuracy.
        base: Another model's difficulties, to be like it.
        share: How like.
    """
    normal = rng.standard_normal
    if base is None:
        own = np.sqrt(0.3) * np.resize(normal(1000), TOTAL) + np.sqrt(0.7) * normal(TOTAL)
        by_name = {name: normal(TOTAL) for name in RESNET50}
    else:
        other = np.sqrt(1 - share**2)
        own = share * base[0] + other * normal(TOTAL)
        by_name = {name: share * one + other * normal(TOTAL) for name, one in base[1].items()}

    def latent(of_corruption: np.ndarray) -> np.ndarray:
        noise = np.sqrt(0.18) * normal(TOTAL)
        return np.sqrt(0.62) * own + np.sqrt(0.20) * of_corruption + noise

    quantile = NormalDist().inv_cdf
    score = latent(normal(TOTAL)) + quantile(0.76)
    cells = [score > 0]
    for name, accuracies in RESNET50.items():
        cells += [latent(by_name[name]) + quantile(value + gain) > 0 for value in accuracies]
    confidence = 1 / (1 + np.exp(-2.7 * score - 0.85 * normal(TOTAL)))
    return np.array(cells, np.uint8).T, confidence, (own, by_name)


def stop_of(x: np.ndarray, bound: float, side: int, mean: BoundedMean, seed: int) -> float:
    """Share of the images at which a gate is decided, in one order."""
    order = np.random.default_rng(seed).permutation(TOTAL)
    for images in (500, 2_000, 8_000, 20_000, TOTAL):  # longer and longer, for speed
        found = log_evidence(x[order[:images]], bound, mean, side=side) >= np.log(1 / ALPHA)
        if found.any():
            return (int(np.argmax(found)) + 1) / TOTAL
    return 1.0


def width_of(
    x: np.ndarray, half_width: float, mean: BoundedMean, z: np.ndarray | None, seed: int
) -> float:
    """Share of the images at which an interval is no wider than asked, in one order."""
    order = np.random.default_rng(seed).permutation(TOTAL)
    few, many = 1, TOTAL // 200
    while many - few > 1:
        half = (few + many) // 2
        part = order[: half * 200]
        known = None if z is None else Covariate(z[part], float(z.mean()))
        low, high = mean_interval(x[part], mean, alpha=ALPHA, covariate=known)
        few, many = (few, half) if (high - low) / 2 <= half_width else (half, many)
    return many * 200 / TOTAL


def wrong_of(
    average: np.ndarray, cells: np.ndarray, confidence: np.ndarray, seed: int
) -> np.ndarray:
    """Whether each statement is ever wrong in one order, the truth on its bound; exact, naive."""
    order = np.random.default_rng([1, seed]).permutation(TOTAL)[:20_000]
    x, truth, whole = average[order], float(average.mean()), BoundedMean(TOTAL)
    z = Covariate(confidence[order], float(confidence.mean()))
    (high, low), (high_z, low_z) = (
        [log_evidence(x, truth, whole, side=side, covariate=known).max() for side in (1, -1)]
        for known in (None, z)
    )
    looks = np.arange(200, 20_001, 100)
    mean = np.cumsum(x)[looks - 1] / looks
    error = np.sqrt((np.cumsum(x * x)[looks - 1] / looks - mean**2) * (1 / looks - 1 / TOTAL))
    off = (mean - truth) / error
    eight = cells[order[:5_000]][:, EIGHT].T.astype(float)
    bounds = cells[:, EIGHT].mean(axis=0)
    never = [np.zeros(5_000)]
    broken = [log_evidence(one, bound, whole, side=-1)
              for one, bound in zip(eight, bounds, strict=True)]  # fmt: skip
    kept = [log_evidence(one, bound - 0.02 * (number > 0), whole)
            for number, (one, bound) in enumerate(zip(eight, bounds, strict=True))]  # fmt: skip
    need, both = np.log(1 / ALPHA), np.log(2 / ALPHA)
    return np.array([
        max(high, low) >= both, high >= need, low >= need,
        max(high_z, low_z) >= both, high_z >= need, low_z >= need,
        decide(never, broken, alpha=ALPHA).verdict == "FAIL",
        decide(kept, [never[0]], alpha=ALPHA).verdict == "PASS",
        (abs(off) > 1.96).any(), (off > 1.645).any(), (off < -1.645).any(),
    ])  # fmt: skip


WRONG = (
    "interval of the average", "PASS, average on its bound", "FAIL, average on its bound",
    "with the clean confidence: interval", "with the clean confidence: PASS",
    "with the clean confidence: FAIL",
    "FAIL, eight cells on their bounds (n <= 5,000)",
    "PASS, eight gates, one on its bound (n <= 5,000)",
    "naive: interval of the average", "naive: PASS", "naive: FAIL",
)  # fmt: skip


def errors(pool: Any, data: Mapping[str, np.ndarray], cells: np.ndarray, orders: int) -> None:
    """Print how often statements are wrong, and whether that is more than is allowed."""
    work = partial(wrong_of, data["average"], cells, data["confidence"])
    found = np.array(pool.map(work, range(orders), 20))
    allowed = ALPHA + 2 * np.sqrt(ALPHA * (1 - ALPHA) / orders)
    print(f"\nwrong, {orders} orders; allowed {ALPHA:.0%} and two standard errors: {allowed:.2%}")
    for name, share in zip(WRONG, found.mean(axis=0), strict=True):
        state = "" if name.startswith("naive") else "ok" if share <= allowed else "TOO MANY"
        print(f"  {name:50s} {share:7.2%}  {state}")


def row(name: str, shares: list[float], target: float | None, *, by: str = "median") -> None:
    """Print median and 90th percentile, and whether the target is met."""
    median, ninth = np.percentile(shares, [50, 90])
    judged = median if by == "median" else ninth
    goal = "" if target is None else f"target {by} <= {target:.0%}: "
    state = "" if target is None else "ok" if judged <= target else "MISSED"
    print(f"  {name:44s} {median:7.2%} {ninth:7.2%}  {goal}{state}", flush=True)


def images_needed(pool: Any, data: Mapping[str, np.ndarray], orders: int) -> None:
    """Print how many images statements take."""
    whole = BoundedMean(TOTAL)

    def each(work: Callable[[int], float], count: int) -> list[float]:
        return list(pool.map(work, range(count), 1))

    print(f"\nshare of the images: median, 90th percentile of {orders} orders (intervals: 6)")
    average, fog5, confidence = data["average"], data["fog5"], data["confidence"]
    for width, target in ((0.01, 0.20), (0.005, 0.45)):
        for z, name in ((None, ""), (confidence, ", with the clean confidence (simulated)")):
            found = each(partial(width_of, average, width, whole, z), 6)
            row(f"average +- {100 * width:g}{name}", found, target if z is None else None)
    for name, x, margins in (("average", average, ((0.02, 0.10), (0.05, 0.02))),
                             ("fog/5", fog5, ((0.05, 0.03),))):  # fmt: skip
        for margin, target in margins:
            for side, kind in ((1, "PASS"), (-1, "FAIL")):
                stop = partial(stop_of, x, float(x.mean()) - side * margin, side, whole)
                by = "90th" if margin == 0.02 else "median"
                row(f"{name}, {kind}, margin {100 * margin:g}", each(stop, orders), target, by=by)
    for gain, target in ((0.01, 0.10), (0.02, 0.03)):
        difference = data[f"other {gain}"] - average
        difference += gain - difference.mean()
        wide = BoundedMean(TOTAL, -1.1, 1.1)
        found = each(partial(stop_of, difference, 0.0, 1, wide), orders)
        alike = np.corrcoef(data[f"other {gain}"], average)[0, 1]
        row(f"two models (r {alike:.2f}), difference {100 * gain:g}", found, target)


def cost(average: np.ndarray) -> None:
    """Print what a look costs."""
    print("\ncost of one look, ms: gate, interval")
    for images in (1_000, 10_000, 50_000):
        x, whole = average[:images], BoundedMean(TOTAL)
        start = time.process_time()
        log_evidence(x, 0.4, whole)
        gate = time.process_time()
        mean_interval(x, whole, alpha=ALPHA)
        end = time.process_time()
        print(f"  n = {images:6,d}: {1e3 * (gate - start):6.1f} {1e3 * (end - gate):7.1f}")


def decisions(cells: np.ndarray, images: int = 10_000, block: int = 128) -> None:
    """Print what all decisions of a sweep cost, beside corrupting its images."""
    metric = find_task("classification").main
    places = get_protocol("imagenet-c").cells()[1:]
    scores = Scores([metric], places, None)
    part = Part(Linear(metric, 0.0, np.full(75, 1 / 75)), scores)
    asked = (Target("gate", "average", ">=", 0.38), Target("width", "average", bound=0.001))
    everyone = np.ones(TOTAL, np.bool_)
    questions = [Question(one, [part], TOTAL, 1, ALPHA, everyone) for one in asked]
    judge = Judge(questions, scores, total=TOTAL, alpha=ALPHA)
    start = time.process_time()
    for first in range(0, images, block):
        own = cells[first : min(first + block, images), :, None].astype(float)
        judge.offer(first, {metric.key: own})
        judge.outcome()
    deciding = time.process_time() - start
    image = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    for _ in range(2):  # the first compiles
        start = time.process_time()
        for cell in places:
            corrupt(image, cell.corruption, cell.severity, mode="fast", key="0")
        corrupting = (time.process_time() - start) * images
    print(
        f"\ndeciding, a gate and an interval after every {block} of {images:,d} images: "
        f"{deciding:.1f} s, {deciding / corrupting:.2%} of corrupting them in 75 cells by one "
        f"process, at 224 x 224 in mode fast, without any network"
    )


def picture(average: np.ndarray, file: str) -> None:
    """Draw an interval that closes, and the ordinary one beside it, in one order."""
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    mpl.rcParams["svg.hashsalt"] = "stl"
    order = np.random.default_rng(4).permutation(TOTAL)
    looks = np.unique(np.geomspace(100, TOTAL, 60).astype(int))
    ends = [mean_interval(average[order[:n]], BoundedMean(TOTAL), alpha=ALPHA) for n in looks]
    mean = np.cumsum(average[order])[looks - 1] / looks
    error = 1.96 * average.std() * np.sqrt(1 / looks - 1 / TOTAL)
    low, high = 100 * np.array(ends).T
    figure, axes = plt.subplots(figsize=(7.5, 3.6), layout="constrained")
    axes.fill_between(looks, low, high, color="#4878b0", alpha=0.25,
                      label="this interval: 95 % for all n together")  # fmt: skip
    axes.fill_between(looks, 100 * (mean - error), 100 * (mean + error), color="#c06040", alpha=0.5,
                      label="ordinary interval: 95 % for one n")  # fmt: skip
    axes.plot(looks, 100 * mean, color="#203050", lw=1, label="estimate")
    axes.axhline(100 * average.mean(), color="k", lw=1, ls="--", label="all 50,000 images")
    axes.set(xscale="log", xlabel="images scored", ylabel="average (%)", xlim=(100, TOTAL),
             ylim=(100 * average.mean() - 8, 100 * average.mean() + 8))  # fmt: skip
    axes.legend(fontsize=8, loc="lower right")
    figure.savefig(file, metadata={"Date": None})


def main() -> None:
    """Simulate, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--orders", type=int, default=2_000, help="for the share of wrong verdicts")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--picture", metavar="FILE.svg")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    results, confidence, base = population(rng)
    cells = results[:, 1:]
    average = cells.mean(axis=1)
    if args.picture:
        picture(average, args.picture)
        return
    data = {"average": average, "fog5": cells[:, FOG5].astype(float), "confidence": confidence}
    for gain in (0.01, 0.02):
        other = population(rng, gain=gain, base=base)[0][:, 1:]
        data[f"other {gain}"] = other.mean(axis=1)
    print(f"N = {TOTAL:,d}, clean {results[:, 0].mean():.3f}, average {average.mean():.3f}; "
          f"standard deviation of an image's average {average.std():.3f}")  # fmt: skip
    cost(average)
    decisions(cells)
    with Pool(args.processes) as pool:
        images_needed(pool, data, max(20, args.orders // 20))
        errors(pool, data, cells, args.orders)


if __name__ == "__main__":
    main()
