"""Curation of real files: photographs among illustrations, beside what a threshold on brightness finds."""

import csv

import numpy as np
import pytest
import yaml

from jobs import curate
from jobs.shell import DONE
from tests.real_data import needs, real

NAME = "curation_photo_vs_illustration"


@pytest.mark.slow
@needs(NAME)
def test_photographs_are_the_suspect_cluster_and_copies_are_found(tmp_path, capsys):
    with (real(NAME) / "labels.csv").open(newline="") as file:
        truth = {row["file"]: row["label"] for row in csv.DictReader(file)}
    dataset = {"layout": "images", "root": str(real(NAME) / "images"), "side_px": 128}
    run = {"out": str(tmp_path / "out"), "dataset": dataset, "engine": {"kind": "serial", "threads_per_worker": 1}}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(run))
    assert curate.main(["clean", str(tmp_path / "run.yaml"), "--by", "rule"]) == DONE
    assert curate.main(["filter", str(tmp_path / "run.yaml"), "--duplicates", "near"]) == DONE

    def listed(version: int) -> set[str]:
        with (tmp_path / f"out/curation/{version:04d}/removed.csv").open(newline="") as file:
            return {row["id"] for row in csv.DictReader(file)}

    known = [name for name, label in truth.items() if label != "ambiguous"]
    photo = np.array([truth[name] == "photo" for name in known])
    removed = np.array([name in listed(1) for name in known])
    f1 = 2 * (photo & removed).sum() / (photo.sum() + removed.sum())
    assert f1 > 0.9
    assert listed(2) == {"imagededup__ukbench00120_resize.jpg", "imagededup__ukbench09380.png"}
