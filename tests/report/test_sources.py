"""Every table says by itself what it is of, and what must not be overlooked: it may be copied."""

import csv
import io
import re

import pytest

from stl_backbones.report.write import make_report

STATED = ("protocol {protocol}", "fingerprint f1f1f1f1f1f1", "engine {mode} (", "numpy 2.2.6",
          "checkpoint sha256 abababababab")  # fmt: skip
COLUMNS = ("protocol", "dataset_fingerprint", "num_images", "num_images_total", "corruption_mode",
           "corruption_package", "channel_order", "seed", "inference", "versions",
           "checkpoint_sha256")  # fmt: skip
MARKS = [
    ({"num_images_total": 500}, "LIMITED: "),
    ({"skipped": ("broken.png",)}, "SKIPPED 1 broken files"),
    ({"seed": 3}, "NOT OFFICIAL: seed 3, another draw of the corruptions than seed 0"),
    ({"channel_order": "bgr"}, "NOT OFFICIAL: the corruptions expect RGB images and saw BGR ones"),
    ({"corruption_mode": "fast"}, "NOT OFFICIAL: corruptions of mode fast equal the published"),
    ({"corruption_mode": "torch"}, "NOT OFFICIAL: corruptions of mode torch equal the published"),
    ({"corruption_mode": "files", "corruption_source": "folder:copy"},
     "UNVERIFIED: folder:copy does not say how its corrupted images were made"),
    ({"notes": ("--allow-missing: images of 3 of the 4 classes only",)}, "images of 3 of the 4"),
    ({"without": ("fog-3",)}, "PARTIAL: M has "),
]  # fmt: skip


@pytest.fixture
def make(make_store, make_classified, make_detected):
    """The folder of a sweep of any task."""

    def make_one(task, name="run", **fields):
        makers = {
            "segmentation": make_store, "classification": make_classified,
            "detection": make_detected,
        }  # fmt: skip
        return makers[task](name, **{"model": "M", **fields})

    return make_one


def markdown_tables(text):
    """Each table with what stands below it, to the next heading or table."""
    parts = re.split(r"(?:^\|.*\n)+", text, flags=re.MULTILINE)
    return [re.split(r"^#", part, flags=re.MULTILINE)[0] for part in parts[1:]]


def latex_tables(text):
    return [part.split(r"\end{table*}")[0] for part in text.split(r"\begin{table*}")[1:]]


def tables_of(folder):
    """Every table of Markdown and LaTeX, and the page's head, each with its format."""
    read = lambda name: (folder / name).read_text(encoding="utf-8")  # noqa: E731
    found = {
        "Markdown": markdown_tables(read("report.md")),
        "HTML": [read("index.html").split("<header>")[1].split("</header>")[0]] * 2,
        "LaTeX": latex_tables(read("table.tex")),
    }
    assert min(map(len, found.values())) >= 2
    return [(kind, text) for kind, texts in found.items() for text in texts]


def rows_of(folder):
    """Every line of every CSV file that is no published row."""
    for path in sorted(folder.glob("*.csv")):
        for row in csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))):
            if row.get("source") != "paper":
                yield path.name, row


@pytest.mark.parametrize("paper", [False, True])
@pytest.mark.parametrize("task", ["segmentation", "classification", "detection"])
def test_every_table_states_what_was_measured(make, task, paper):
    made = make_report([make(task)], paper=paper, resamples=2)
    protocol = {"segmentation": "stl-cityscapes-c", "classification": "stl-imagenet-c",
                "detection": "coco-c"}[task]  # fmt: skip
    mode = {"segmentation": "reference"}.get(task, "exact")
    for kind, text in tables_of(made.folder):
        plain = (
            text.replace("\\", "").replace(": ", " ").replace("Fin", "fin").replace("Pro", "pro")
        )
        for fact in STATED:
            assert fact.format(protocol=protocol, mode=mode) in plain, (kind, fact)
        assert re.search(r"(\d+) of \1 images", plain), kind
    for name, row in rows_of(made.folder):
        assert all(row[column] != "" for column in COLUMNS), name
        assert (row["protocol"], row["remarks"]) == (protocol, "")


@pytest.mark.parametrize(("fields", "mark"), MARKS)
@pytest.mark.parametrize("task", ["segmentation", "classification", "detection"])
def test_every_table_is_marked(make, task, fields, mark):
    made = make_report([make(task, **fields)], partial="without" in fields, resamples=0)
    for kind, text in tables_of(made.folder):
        assert mark in text.replace("\\", ""), kind
    for name, row in rows_of(made.folder):
        assert mark in row["remarks"], name


@pytest.mark.parametrize(("fields", "mark"), MARKS)
def test_the_page_says_it_once_and_every_caption_in_a_word(make, fields, mark):
    made = make_report([make("segmentation", **fields)], partial="without" in fields, resamples=0)
    page = made.page.read_text(encoding="utf-8")
    word = re.match(r"(NOT )?[A-Z]{2,}", mark)
    captions = re.findall(r"<caption>.*?</caption>", page)
    assert len(captions) == len(re.findall("<table", page)) > 5
    for caption in captions:
        assert f'<span class="flag">{word[0] if word else "NOTED"}</span>' in caption
        assert "protocol stl-cityscapes-c" in caption
    assert page.count("Measured: protocol") == 1
    assert page.count(f'<p class="warning">{mark}') == 1 or not word


def test_an_approximate_engine_is_the_one_of_a_protocol_without_published_numbers(make):
    made = make_report([make("segmentation", protocol="all", corruption_mode="fast")])
    assert "NOT OFFICIAL" not in (made.folder / "report.md").read_text(encoding="utf-8")


def test_what_rows_differ_in_is_told_by_row(make):
    one, other = make("segmentation", "a", model="A"), make(
        "segmentation", "b", model="B", checkpoint_sha256="cd" * 32, inference="slide",
        versions={"numpy": "1.26"}, notes=("odd",),
    )  # fmt: skip
    made = make_report([one, other], resamples=0)
    for kind, text in tables_of(made.folder):
        plain = text.replace("\\", "")
        assert "B: odd" in plain, kind
        for fact in ("abababababab", "cdcdcdcdcdcd", "inference slide", "inference whole",
                     "numpy 1.26", "numpy 2.2.6"):  # fmt: skip
            assert fact in plain, (kind, fact)


def test_a_comparison_in_csv_has_the_provenance_of_both(make):
    one, other = make("segmentation", "a", model="A"), make(
        "segmentation", "b", model="B", checkpoint_sha256="cd" * 32, seed=0, notes=("odd",),
    )  # fmt: skip
    made = make_report([one, other], compare=True, resamples=20)
    for row in csv.DictReader((made.folder / "comparison.csv").read_text().splitlines()):
        assert (row["checkpoint_sha256"], row["remarks"]) == ("ab" * 32, "")
        assert (row["second_checkpoint_sha256"], row["second_remarks"]) == ("cd" * 32, "odd")


def test_numbers_of_other_images_have_their_own_provenance_in_csv(make_classified):
    folder = make_classified(sets={"imagenet-a": 5, "imagenet-a-clean": 18})
    made = make_report([folder], resamples=0)
    rows = list(csv.DictReader((made.folder / "aggregates.csv").read_text().splitlines()))
    found = {row["aggregate"]: row["dataset_fingerprint"] for row in rows}
    assert found["clean"] == "f1" * 16
    assert found["imagenet-a"] == found["imagenet-a-retention"] == "imagenet-a"
    assert found["top5:imagenet-a-clean"] == "imagenet-a-clean"
    (row,) = csv.DictReader((made.folder / "other_images.csv").read_text().splitlines())
    assert row["sets"].startswith("imagenet-a: 20 of 20 images, fingerprint imagenet-a; ")


def test_a_set_without_its_cell_is_marked(make_classified):
    folder = make_classified(sets={"imagenet-a": 5, "imagenet-r": 9})
    (folder / "imagenet-a/cells/clean.npz").unlink()
    made = make_report([folder], partial=True, resamples=0)
    for kind, text in tables_of(made.folder):
        assert "PARTIAL: STL has no set imagenet-a" in text.replace("\\", ""), kind


def test_models_with_and_without_sets_share_a_report(make_classified):
    folders = [
        make_classified("a", model="A", sets={"imagenet-a": 5}),
        make_classified("b", model="B"),
    ]
    made = make_report(folders, resamples=0)
    text = (made.folder / "report.md").read_text(encoding="utf-8")
    assert "Set imagenet-a: 20 of 20 images" not in text.split("## Provenance")[0]
    assert "A: set imagenet-a 20 of 20 images" in text
    assert "A: set imagenet-a 20 of 20 images" in made.text
