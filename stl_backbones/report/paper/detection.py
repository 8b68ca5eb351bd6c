"""The paper's Table 5: detection.

References:
    Zhao et al. 2023, "Fully Attentional Networks with Self-emerging Token Labeling"
    (arXiv:2401.03844).
"""

from __future__ import annotations

from decimal import Decimal

from stl_backbones.report.paper.tables import fraction, published_row, read_paper_table
from stl_backbones.report.sections import Row, Value

TABLE_5 = "table5_detection.csv"
NOT_CORRUPTED = (
    "The paper has no detection scores on corrupted images; its clean ones are in the layout of "
    "its Table 5."
)
TABLE_5_NOTE = (
    "Paper rows are the published ones (STL paper, Table 5): box mAP of Cascade Mask R-CNN on the "
    "clean images of COCO val2017. It has no scores of masks or on corrupted images."
)


def table_5_rows(columns: tuple[str, ...]) -> tuple[Row, ...]:
    """Size of the encoder and clean box AP as printed.

    Args:
        columns: Keys of the columns of scores; the paper has ``'clean'`` alone.
    """
    empty: dict[str, Value] = dict.fromkeys(columns)
    return tuple(
        published_row(
            row["model"],
            {
                **empty,
                "encoder": row["encoder_params_m"] or None,
                "clean": fraction(Decimal(row["coco_box_map"])),
            },
        )
        for row in read_paper_table(TABLE_5)
    )
