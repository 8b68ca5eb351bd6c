"""Breaking points of reports and flows between classes, hand-computed."""

import math

import pytest

from stl_backbones.corruptions.protocols import get_protocol
from stl_backbones.report.class_data import breaking_file, flow_file
from stl_backbones.report.class_tables import breaking_table, flow_tables
from stl_backbones.report.numbers.aggregates import Findings
from stl_backbones.report.numbers.breaking import Bound, class_points, parse_bound
from stl_backbones.report.numbers.flows import flows
from stl_backbones.report.numbers.requirements import judge, parse_requirement


@pytest.mark.parametrize(
    ("text", "bound"),
    [("0.5", Bound(0.5)), ("50% of clean", Bound(0.5, is_share=True)),
     (" 75 %  of clean", Bound(0.75, is_share=True))],
)  # fmt: skip
def test_bounds(text, bound):
    assert parse_bound(text) == bound


def with_bound(findings, text):
    return Findings(findings.runs, findings.protocol, findings.task, findings.draws,
                    bound=parse_bound(text))  # fmt: skip


@pytest.fixture
def classified(make_classified, findings_of):
    """Top-1: clean 80 %, then 70, 60, 50, 40 and 30 % by severity."""
    folder = make_classified()

    def make(text, **options):
        return with_bound(findings_of([folder], **options), text)

    return make


def test_table_and_file(classified):
    findings = classified("0.55")
    table = breaking_table(findings)
    assert [row.values["0"] for row in table.rows] == ["2.5"] * 16
    # Class 2 loses image 18 at once and 14 by severity 1: of five 3, 3, 2, 2 and 1 are left.
    lines = [one for one in breaking_file(findings).rows if one[2] == "fog"]
    assert lines[0] == ("STL", "", "fog", "0.55", pytest.approx(2.5), None, None, 5, "2.5")
    assert [one[1] for one in lines[1:]] == ["n01", "n02", "n03", "n04"]
    assert lines[3][4] == pytest.approx(2 + 0.05 / 0.2)
    assert table.rows[0].values["0 class"] == "n03, n04: 2.2"


def test_points_of_classes_need_clean_images_and_not_every_severity(make_classified, findings_of):
    """Of five images of class 2, 3 are right at severity 2, and 2 at severity 3."""
    points = {}
    for missing in ("fog-1", "clean"):
        findings = findings_of([make_classified(missing, without=(missing,))], partial=True)
        points[missing] = class_points(
            findings.runs[0], findings.protocol, "fog", parse_bound("0.55"), "accuracy"
        )
    assert points["fog-1"].replicates[0, 2] == pytest.approx(2 + 0.05 / 0.2)
    assert points["clean"] is None


def test_not_reached_is_a_result(classified, verdict_of):
    findings = classified("30% of clean")  # 24 %
    assert breaking_table(findings).rows[0].values["0"] == "not reached to 5"
    assert breaking_file(findings).rows[0][4] == math.inf
    kept, broken = verdict_of(findings, "break:fog >= 3", "break:fog <= 4")
    assert (kept.passed, kept.found, broken.passed) == (True, "not reached", False)


@pytest.fixture
def verdict_of():
    def verdicts(findings, *texts, **options):
        return judge([parse_requirement(text) for text in texts], findings, **options)

    return verdicts


def test_gates_by_class_and_breaking_point(classified, verdict_of):
    """At fog 5 classes 0 and 1 have 2 of 5 right, classes 2 and 3 have 1."""
    found = verdict_of(
        classified("0.55"), "class:n01:fog/5 >= 0.4", "class:n03:fog/5 >= 0.4",
        "class:*:fog/5 >= 0.2", "class:*:fog/5 >= 0.3", "accuracy:class:n01:clean >= 0.8",
        "class:n01:retention >= 0.7", "class:n01:weather >= 0.57", "break:fog >= 2.5",
        "class:*:break:fog >= 2.3",
    )  # fmt: skip
    assert [one.passed for one in found] == [
        True, False, True, False, True, True, False, True, False,
    ]  # fmt: skip
    assert found[3].found == "not kept by 2 of 4 classes: n03 0.2, n04 0.2"


def test_gates_judge_by_the_lower_end(classified, verdict_of):
    findings = classified("0.55", resamples=50)
    texts = ("class:n01:clean >= 0.8", "break:fog >= 2.5")
    assert [one.passed for one in verdict_of(findings, *texts)] == [True, True]
    found = verdict_of(findings, *texts, by_interval=True)
    assert [one.passed for one in found] == [False, False]
    assert "judged by its lower bound" in found[1].found


@pytest.mark.parametrize(
    ("text", "says"),
    [("class:n05:fog >= 0.1", "unknown class 'n05'"),
     ("class:n01:fgo >= 0.1", "unknown place 'fgo'"),
     ("iou:class:n01:fog >= 0.1", "unknown score by class 'iou'"),
     ("break:fgo >= 1", "unknown corruption of protocol 'stl-imagenet-c' 'fgo'"),
     ("class:n01:fog >= 40", "fractions")],
)  # fmt: skip
def test_unknown_names_of_gates(classified, verdict_of, text, says):
    with pytest.raises((KeyError, ValueError), match=says):
        verdict_of(classified("0.5"), text)


def test_a_class_that_does_not_occur_has_no_gate(make_detected, findings_of, verdict_of):
    with pytest.raises(ValueError, match="'dog' does not occur"):
        verdict_of(findings_of([make_detected()]), "class:dog:fog >= 0.1")


def test_flows(make_store, findings_of):
    """Of 100 + p pixels of each class 2p are right; fog takes most at severity 5, p = 30."""
    folder = make_store(percent=lambda cell: 90 - 12 * cell.severity)
    findings = findings_of([folder])
    protocol = get_protocol("stl-cityscapes-c")
    found = [flows(findings.runs[0], protocol)]
    (table,) = flow_tables(findings, found)
    fog = [row for row in table.rows if row.label == "Fog"]
    share, clean = (100 - 30) / (2 * 30 + 70), 10 / 190
    assert [row.values for row in fog] == [
        {"flow": flow, "cell": "Fog 5", "share": pytest.approx(share),
         "clean": pytest.approx(clean)}
        for flow in ("road -> car", "car -> road")
    ]  # fmt: skip
    lines = [one for one in flow_file(findings, found).rows if one[1] == "gaussian_noise"]
    assert lines[0] == ("FAN", "gaussian_noise", 3, "road", "car", pytest.approx(46 / 154),
                        pytest.approx(clean), 46)  # fmt: skip
    assert len(flow_file(findings, found).rows) == 2 * len(protocol.corruptions)


def test_detection_has_no_flows_and_says_so(make_detected, tables_of, findings_of):
    folder = make_detected()
    findings = findings_of([folder])
    assert flows(findings.runs[0], findings.protocol) == {}
    assert "no true class" in tables_of([folder])["Classes"].notes[-1]
