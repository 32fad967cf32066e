"""The document's table: reported beside measured, means of two networks, baselines, no NaN."""

import csv
import io
import json

import pytest

from jobs.industrial import MEMBERS, REPORTED
from jobs.industrial_table import measured_table, table_files, table_text
from models.card import Card

SCORES = {"unetpp-5": 0.8, "deeplab-5": 0.6, "unetpp-6": 0.82, "deeplab-6": 0.61, "transfer-6": 0.7, "ensemble": 0.85}


def card(name: str) -> Card:
    return Card(
        name=name,
        architecture="unetplusplus" if "unetpp" in name else "deeplabv3plus",
        encoder="resnet18",
        channels=("red",),
        sensor="SN10",
        offset=(0.0,),
        scale=(1.0,),
        classes=("industrial",),
        training_data="x",
        weights="recipe:/somewhere/models/pretrain-ls30" if name == "transfer-6" else "random:1",
    )


def row(name: str, value: float) -> dict:
    cells = {"mIoU": value, "iou_fg": value + 0.01, "iou_bg": value - 0.01}
    return {"id": name, "name": name, **cells, "intervals": {"mIoU": [value - 0.1, value + 0.1]}}


@pytest.fixture
def evaluation() -> dict:
    rows = [row(name, score) for name, score in SCORES.items()]
    rows += [row(f"{name} + TTA", score + 0.02) for name, score in SCORES.items()]
    rows += [row("mean of members", 0.7), row("mean of members + TTA", 0.72), row("all positive", 0.4)]
    return {"rows": rows, "pixels": 123456, "blocks": 7, "columns": ["mIoU"]}


@pytest.fixture
def table(evaluation) -> dict:
    return measured_table(evaluation, {name: card(name) for name in MEMBERS}, synthetic=True)


def test_each_reported_number_stands_beside_its_measurement(table):
    told = {r["reported"]: r for r in table["rows"] if r["reported"] is not None}
    assert sorted(told) == sorted(round(r.miou_percent / 100, 4) for r in REPORTED)
    assert told[0.9841]["mIoU"] == pytest.approx((0.82 + 0.62) / 2)
    assert told[0.9841]["one_view"] == pytest.approx(0.7)
    assert told[0.9879]["mIoU"] == pytest.approx(0.84)
    assert (told[0.9879]["low"], told[0.9879]["high"]) == pytest.approx((0.74, 0.94))
    assert told[0.9872]["weights"] == "recipe:pretrain-ls30", "where a folder happened to lie is nobody's business"


def test_members_ensemble_and_baselines_have_rows_of_their_own(table):
    names = [r["row"] for r in table["rows"]]
    assert names == [
        "U-Net++",
        "DeepLabV3+",
        "U-Net++ and DeepLabV3+, mean",
        "U-Net++",
        "DeepLabV3+",
        "DeepLabV3+",
        "ensemble of 5",
        "all positive",
    ]
    assert table["rows"][-2]["mIoU"] == pytest.approx(0.87)
    assert table["rows"][-2]["one_view"] == pytest.approx(0.85)


def test_the_text_explains_every_number(table):
    text = table_text(table)
    assert "synthetic country" in text
    assert "123,456 pixels of 7 validation tiles" in text
    for word in ("0.9841", "0.7200", "95 % interval", "first row names two networks"):
        assert word in text


def test_the_files_hold_the_table(table, evaluation):
    files = table_files(table, evaluation)
    assert json.loads(files["table.json"])["rows"][0]["row"] == "U-Net++"
    rows = list(csv.DictReader(io.StringIO(files["table.csv"].decode())))
    assert [r["row"] for r in rows] == [r["row"] for r in table["rows"]]
    assert files["table.png"].startswith(b"\x89PNG")
    assert files["table.txt"].decode().startswith("row")
