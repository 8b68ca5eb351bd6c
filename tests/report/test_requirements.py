import pytest

from stl_backbones.corruptions import Protocol, register_protocol
from stl_backbones.corruptions.catalog import CUSTOM_CORRUPTIONS, CustomCorruption
from stl_backbones.report.numbers.requirements import judge, parse_requirement

SETS = {"imagenet-a": 5, "imagenet-a-clean": 18}


@pytest.fixture
def verdicts_of(findings_of):
    def verdicts(folders, *texts, by_interval=False, **options):
        requirements = [parse_requirement(text) for text in texts]
        return judge(requirements, findings_of(folders, **options), by_interval=by_interval)

    return verdicts


@pytest.mark.parametrize(
    ("text", "name", "comparison", "bound"),
    [
        ("average >= 0.60", "average", ">=", 0.6),
        ("fog/5>.3", "fog/5", ">", 0.3),
        (" ece:average <= 5e-2 ", "ece:average", "<=", 0.05),
        ("imagenet-a < 1", "imagenet-a", "<", 1),
        ("stl-imagenet-c-17 >= 0.5", "stl-imagenet-c-17", ">=", 0.5),
    ],
)
def test_reading(text, name, comparison, bound):
    read = parse_requirement(text)
    assert (read.name, read.comparison, read.bound) == (name, comparison, bound)


@pytest.mark.parametrize(
    "text",
    ["average", "average == 0.6", "average >= x", "0.6 <= average", "average >= 0.6 and fog >= 1",
     "average => 0.6", "__import__('os') >= 1", "average >= nan", "", "average >= -1"],
)  # fmt: skip
def test_other_forms_are_refused(text):
    with pytest.raises(ValueError, match="--require takes 'NAME OP NUMBER'"):
        parse_requirement(text)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("clean", 0.8), ("average", 0.5), ("retention", 0.625), ("fog", 0.5), ("blur", 0.5),
        ("fog/5", 0.3), ("top5", 0.85), ("top5:average", 0.55), ("top5:fog/5", 0.35),
        ("top1:fog/5", 0.3), ("ece", 0.25), ("nll", 0.6), ("nll:fog/1", 0.775),
        ("imagenet-a", 0.25), ("imagenet-a-retention", 0.25 / 0.9), ("top5:imagenet-a", 0.3),
        ("stl-imagenet-c", 0.5),
    ],
)  # fmt: skip
def test_names(make_classified, name, value, verdicts_of):
    """The bound a little below the value holds, a little above fails."""
    folder = make_classified(sets=SETS)
    below, above = f"{name} >= {value - 1e-4:.6f}", f"{name} >= {value + 1e-4:.6f}"
    kept, broken = verdicts_of([folder], below, above)
    assert (kept.passed, broken.passed) == (True, False)
    assert float(kept.found) == pytest.approx(value, abs=1e-5)


@pytest.mark.parametrize(
    ("comparison", "outcomes"),
    [(">=", [True, True, False]), (">", [True, False, False]),
     ("<=", [False, True, True]), ("<", [False, False, True])],
)  # fmt: skip
def test_operators(make_classified, comparison, outcomes, verdicts_of):
    texts = [f"average {comparison} {bound}" for bound in (0.49, 0.5, 0.51)]
    assert [verdict.passed for verdict in verdicts_of([make_classified()], *texts)] == outcomes


def test_segmentation_has_requirements_too(make_store, verdicts_of):
    found = verdicts_of([make_store()], "average >= 0.45", "noise < 0.3", "shot_noise/3 >= 0.3")
    assert [verdict.passed for verdict in found] == [True, False, True]


def test_what_was_not_measured_fails(make_classified, verdicts_of):
    found = verdicts_of(
        [make_classified(without=("fog-3",))],
        "average >= 0.1", "fog/3 >= 0.1", "fog/2 >= 0.1", "imagenet-a >= 0.1", "mce <= 2",
        partial=True,
    )  # fmt: skip
    assert [verdict.passed for verdict in found] == [False, False, True, False, False]
    assert str(found[0]) == "FAILED: STL: average >= 0.1: not measured: fog-3"
    assert found[3].found == "not measured: set imagenet-a"
    assert "zoom_blur-1" in found[4].found


def test_nothing_counted_fails_both_ways(make_store, verdicts_of):
    folder = make_store(percent=lambda cell: 0)
    for verdict in verdicts_of([folder], "retention >= 0", "retention <= 1"):
        assert (verdict.passed, verdict.found) == (False, "n/a")


def test_every_model_must_pass(make_classified, verdicts_of):
    folders = [
        make_classified("a", model="A"),
        make_classified("b", model="B", hits=lambda cell: 16 if cell.is_clean else 8),
    ]
    found = verdicts_of(folders, "average >= 0.45", "clean >= 0.8")
    got = [(verdict.label, str(verdict.requirement), verdict.passed) for verdict in found]
    assert got == [
        ("A", "average >= 0.45", True),
        ("B", "average >= 0.45", False),
        ("A", "clean >= 0.8", True),
        ("B", "clean >= 0.8", True),
    ]


def test_the_unfavourable_end_of_the_interval(make_classified, verdicts_of):
    texts = ("clean >= 0.75", "clean <= 0.85", "clean >= 0.55", "clean <= 0.99")
    by_value = verdicts_of([make_classified("a")], *texts, resamples=1000)
    assert [verdict.passed for verdict in by_value] == [True] * 4
    by_end = verdicts_of([make_classified("b")], *texts, resamples=1000, by_interval=True)
    # 0.8 of 20 images: about 0.60 to 0.95
    assert [verdict.passed for verdict in by_end] == [False, False, True, True]
    assert by_end[0].found.endswith("judged by its lower bound")
    assert by_end[1].found.endswith("judged by its upper bound")


def test_ends_of_intervals_need_resamples(make_classified, verdicts_of):
    with pytest.raises(ValueError, match="expected --resamples of at least 1"):
        verdicts_of([make_classified()], "clean >= 0.5", by_interval=True)


@pytest.mark.parametrize(
    "name",
    ["averge", "fog/6", "fog/0", "hail", "fog/x", "nll:", "nll:averge", "iou:fog", "/3", ":fog",
     "gaussian_noise/"],
)  # fmt: skip
def test_unknown_names_list_the_known_ones(make_classified, name, verdicts_of):
    with pytest.raises(KeyError, match=r"knows no '.*'; expected one of clean, average, retention"):
        verdicts_of([make_classified()], f"{name} >= 0.5")


def test_a_severity_that_the_protocol_lacks_is_unknown(make_store, verdicts_of):
    with pytest.raises(KeyError, match="knows no 'shot_noise/4' under protocol 'stl-cityscapes-c'"):
        verdicts_of([make_store()], "shot_noise/4 >= 0.1")


def test_mce_is_unknown_to_segmentation(make_store, verdicts_of):
    with pytest.raises(KeyError, match="knows no 'mce'"):
        verdicts_of([make_store()], "mce <= 0.5")


@pytest.mark.parametrize("text", ["average >= 60", "ece <= 5", "mce <= 43.6", "fog/5 >= 1.01"])
def test_percent_is_refused(make_classified, text, verdicts_of):
    with pytest.raises(ValueError, match=r"takes fractions, 0\.60 for 60 %"):
        verdicts_of([make_classified()], text)


def test_bounds_beyond_one_where_they_make_sense(make_classified, verdicts_of):
    found = verdicts_of([make_classified(cells="all")], "mce <= 1.5", "nll <= 3")
    assert [verdict.passed for verdict in found] == [True, True]


@pytest.fixture
def own_groups(own_catalog):
    """A group with the name of its first corruption, and a corruption of a mean's name.

    The latter cannot be registered, but was possible before names were reserved.
    """
    CUSTOM_CORRUPTIONS["average"] = CustomCorruption("average", "own", "1", lambda *_: None)
    columns = {"fog": ("fog", "snow"), "own": ("average",)}
    return register_protocol(Protocol("grouped", columns, "this test"))


def of_own_groups(cell):
    """Right of 20: clean 16, fog 12, snow 4, and 16 under the corruption 'average'."""
    return {"fog": 12, "snow": 4}.get(cell.corruption, 16)


@pytest.fixture
def grouped(own_groups, make_classified):
    return make_classified(
        hits=of_own_groups, protocol="grouped", cells="grouped", custom_versions={"average": "1"}
    )


@pytest.mark.parametrize(
    ("name", "got"),
    [
        ("fog", "'group:fog' or 'corruption:fog'"),
        ("ece:fog", "'ece:group:fog' or 'ece:corruption:fog'"),
    ],
)
def test_a_name_with_two_meanings_is_refused(grouped, verdicts_of, name, got):
    with pytest.raises(KeyError, match=f"'{name}' has 2 meanings; write {got}"):
        verdicts_of([grouped], f"{name} >= 0.1")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("average", 1.6 / 3), ("corruption:average", 0.8),
        ("group:fog", 0.4), ("corruption:fog", 0.6), ("corruption:snow", 0.2), ("snow", 0.2),
        ("ece:corruption:fog", 0.25), ("average/3", 0.8),
    ],
)  # fmt: skip
def test_a_typed_name_has_one_meaning(grouped, verdicts_of, name, value):
    (verdict,) = verdicts_of([grouped], f"{name} >= 0")
    assert float(verdict.found) == pytest.approx(value, abs=1e-5)


def test_the_average_is_not_passed_by_a_corruption_of_its_name(grouped, verdicts_of):
    (verdict,) = verdicts_of([grouped], "average >= 0.6")
    assert (verdict.passed, float(verdict.found)) == (False, pytest.approx(1.6 / 3, abs=1e-5))


def test_neither_of_two_numbers_of_one_name_is_lost_in_tables(grouped, findings_of, tables_of):
    found = findings_of([grouped]).aggregates[0]
    names = [name for name in found if found[name].place == "corruption"]
    assert names == ["corruption:fog", "snow", "corruption:average"]
    assert found["group:fog"].value == pytest.approx(0.4)
    (row,) = tables_of([grouped])["table"].rows
    mean = (0.6 + 0.2 + 0.8) / 3
    assert (row.values["average"], row.values["corruption:average"]) == (
        pytest.approx(mean), pytest.approx(0.8),
    )  # fmt: skip
    assert row.values["corruption:fog"] == pytest.approx(0.6)
