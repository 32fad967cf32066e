"""The tables of the scratch document: their arithmetic, the claims, the goal, and rows that collapsed."""

import math

import pytest

from jobs.scratch import ROWS
from jobs.scratch_judging import Judged
from jobs.scratch_table import (
    Measured,
    Trained,
    always_yes,
    baseline_table,
    best_row,
    claims,
    count_table,
    dice_table,
    failed_gates,
    measured,
    results_table,
    source_table,
    trained_text,
    verdict_table,
)
from models.mask_scores import ImageCounts, iou_of_dice_loss

REPORTED = {row.name: row.iou for row in ROWS if row.iou is not None}
TRAINED = {row.name: Trained("as it was", "bce" if row.name in ("C", "B-bce") else "batch_dice") for row in ROWS}


def image(truth: int, found: int, hit: int, seen: int = 1000) -> ImageCounts:
    return ImageCounts(seen, truth, found, hit, float(found), float(hit), 0.5 * seen)


def rows(ious: dict[str, float], collapsed: tuple[str, ...] = ()) -> dict[str, Measured]:
    """Return ten rows whose IoUs are given; each found 100 pixels and 100 are there."""
    out = {}
    for row in ROWS:
        value = ious.get(row.name, 0.15)
        hit = round(200 * value / (1 + value))
        judged = [
            Judged("a", "company", "test", {row.name: image(100, 100, hit)}),
            Judged("b", "public", "validation", {row.name: image(100, 100, hit)}),
        ]
        one = measured(row.name, judged, "test", verdicts=True)
        scores = {**one.scores, "iou": value}
        out[row.name] = Measured(
            one.name, scores, one.by_source, "nothing" if row.name in collapsed else "", one.verdict, one.min_area_px
        )
    return out


def cells(table, row: str) -> dict[str, str]:
    return next(record for record in table.records() if row in (record.get("row"), record.get("answer")))


def test_measuring_sums_the_part_that_judges_and_chooses_on_the_other():
    counts = [image(40, 50, 20), image(0, 30, 0), image(60, 0, 0)]
    chosen = [image(40, 70, 20), image(50, 35, 10), image(0, 90, 0)]
    judged = [Judged(str(n), ("one", "two", "two")[n], "test", {"net": c}) for n, c in enumerate(counts)]
    judged += [Judged(f"v{n}", "one", "validation", {"net": c}) for n, c in enumerate(chosen)]
    found = measured("net", judged, "test", verdicts=True)
    assert found.iou == 20 / (40 + 60 + 50 + 30 - 20)
    assert found.by_source == {"one": 20 / 70, "two": 0 / 90}
    assert found.min_area_px == 35
    assert (found.verdict.hits, found.verdict.misses, found.verdict.false_alarms, found.verdict.rejections) == (
        1,
        1,
        0,
        1,
    )
    trivial = always_yes(counts)
    assert (trivial.precision, trivial.recall, trivial.spared) == (2 / 3, 1, 0)


def test_the_table_has_reported_beside_measured_and_the_best_in_bold():
    found = rows({"E": 0.31, "C": 0.02})
    table = results_table(found, TRAINED, 0.2)
    assert [record["row"] for record in table.records()] == [row.name for row in ROWS]
    for name, iou in REPORTED.items():
        assert cells(table, name)["IoU reported"] == f"{iou:.4f}"
    assert cells(table, "E")["IoU"] == "**0.3100**"
    assert "best performance" in cells(table, "E")["note"]
    assert sum("best performance" in record["note"] for record in table.records()) == 1
    assert (cells(table, "E")["IoU >= 0.20"], cells(table, "C")["IoU >= 0.20"]) == ("yes", "no")
    assert cells(table, "C")["loss"] == "0.5000"  # cross-entropy of each pixel
    assert cells(table, "G-1e-3")["IoU reported"] == "-"
    assert results_table(found, TRAINED, 0.0).header[-2] == "goal"


def test_a_row_that_collapsed_says_so_and_is_never_the_best():
    found = rows({"E": 0.31, "B": 0.25}, collapsed=("E",))
    table = results_table(found, TRAINED, 0.2)
    assert "COLLAPSED: finds nothing" in cells(table, "E")["note"]
    assert cells(table, "E")["IoU >= 0.20"] == "no"
    assert best_row(found) == "B"
    everything = rows({}, collapsed=tuple(row.name for row in ROWS))
    assert best_row(everything) is None
    assert "**" not in "".join(record["IoU"] for record in results_table(everything, TRAINED, 0.2).records())
    assert "every row collapsed" in failed_gates(everything, claims(everything, ("a", "b")), 0.2)[0]


def test_rows_that_are_not_the_documents_are_never_the_best():
    assert best_row(rows({"G-1e-3": 0.9, "B-bce": 0.8, "A": 0.2})) == "A"


def test_claims_are_found_where_the_numbers_are_the_documents():
    found = rows({**REPORTED, "G-1e-3": 0.17})
    assert [claim.found for claim in claims(found, ("company", "public"))] == [True] * 7
    assert claims(found, ("company",))[0].found is None
    turned = rows({name: 0.4 - iou for name, iou in REPORTED.items()} | {"G-1e-3": 0.3})
    assert not any(claim.found for claim in claims(turned, ("company", "public")))
    fallen = claims(rows(REPORTED, collapsed=("H", "G-1e-3")), ("company", "public"))[-1]
    assert (fallen.found, fallen.verdict) == (None, "not judged")


@pytest.mark.parametrize(
    ("ious", "goal", "told"),
    [
        ({"F": 0.21, "H": 0.2, "G-1e-3": 0.1}, 0.2, []),
        ({"F": 0.19, "H": 0.18, "G-1e-3": 0.1}, 0.2, ["the best row, F, has an IoU of 0.1900; 0.20 is asked"]),
        ({"F": 0.21, "H": 0.1, "G-1e-3": 0.2}, 0.2, ["not found (H 0.1000, G-1e-3 0.2000)"]),
        ({"F": 0.01, "H": 0.01, "G-1e-3": 0.2}, 0.0, []),
    ],
)
def test_the_gate_asks_the_best_row_and_the_matched_comparison(ious, goal, told):
    found = rows(ious)
    failed = failed_gates(found, claims(found, ("company", "public")), goal)
    assert len(failed) == len(told)
    assert all(text in line for text, line in zip(told, failed, strict=True))


def test_the_loss_implies_an_iou_that_the_document_does_not_report():
    table = dice_table(rows({}), TRAINED)
    assert "C" not in [record["row"] for record in table.records()]
    implied = [float(record["implies"]) for record in table.records() if record["IoU reported"] != "-"]
    assert implied != REPORTED
    assert table.rows[0][2] == "0.1708"  # (1 - 0.7082) / (1 + 0.7082)
    assert iou_of_dice_loss(0.7082) == pytest.approx(0.1708, abs=1e-4)


def test_the_other_tables_hold_what_was_measured():
    found = rows({})
    assert cells(source_table(found), "A")["company"] != "-"
    trivial = always_yes([image(3, 0, 0), image(0, 0, 0)])
    assert verdict_table(found, trivial).rows[0] == ("show every photo", "-", "0.5000", "1.0000", "0.6667", "0.0000")
    rule = measured("dark", [Judged("a", "", "test", {"dark": image(9, 0, 0)})], "test", verdicts=False)
    assert cells(baseline_table([rule]), "dark")["precision"] == "-"
    told = {"source": "company", "part": "test", "photos": 3, "with scratches": 2, "scratched pixels": 0.00123}
    assert count_table([told, told | {"scratched pixels": math.nan}]).rows[0][-1] == "0.123%"
    assert count_table([told | {"scratched pixels": math.nan}]).rows[0][-1] == "-"


def test_how_a_row_was_trained_is_told_in_the_documents_words():
    network = {"architecture": "unet_classic", "width": 8}
    train = {"epochs": 20, "batch": 4, "learning_rate": 1e-4, "optimizer": "Adam", "loss": "batch_dice"}
    told = trained_text({"network": network, "train": train | {"schedule": "none"}}, 1344)
    assert told == "U-Net of width 8, 20 x 1344 tiles, b 4, 0.0001, Adam"
    warm = {"name": "CosineAnnealingWarmRestarts", "t_0": 4}
    other = {"architecture": "deeplabv3", "encoder": "resnet50"}
    told = trained_text({"network": other, "train": train | {"schedule": warm, "loss": "bce"}}, 7)
    assert told == "DeepLabV3 on resnet50, 20 x 7 tiles, b 4, 0.0001, Adam, CosineAnnealingWarmRestarts, BCE"
