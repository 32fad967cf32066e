"""Synthesize, kinds scratches and illustrations: files and a run; bad input is refused before anything is written."""

import pytest
import yaml

from jobs.synthesize import main


def test_scratches_are_written_with_a_run(tmp_path, capsys):
    out = tmp_path / "scratches"
    command = [str(out), "--kind", "scratches", "--count", "6", "--side", "80", "--seed", "4", "--workers", "1"]
    assert main([*command, "--masks"]) == 0
    said = capsys.readouterr()
    assert "6/6 images" in said.err
    assert f"sandan ingest {out / 'scratches.yaml'}" in said.out
    dataset = yaml.safe_load((out / "scratches.yaml").read_text())["dataset"]
    assert [c["root"] for c in dataset["collections"]] == [str(out / "company"), str(out / "public")]
    assert len(list((out / "company").glob("*.jpg"))) == len(list((out / "company").glob("*_watershed_mask.png"))) == 1
    assert len(list((out / "public").glob("*.jpg"))) == len(list((out / "masks" / "public").glob("*.png"))) == 5
    assert dataset["side_px"] == 80


def test_illustrations_are_written_with_a_run(tmp_path, capsys):
    out = tmp_path / "illustrations"
    assert main([str(out), "--kind", "illustrations", "--count", "90", "--workers", "1"]) == 0
    said = capsys.readouterr()
    assert "90 images of 20 classes" in said.out
    dataset = yaml.safe_load((out / "illustrations.yaml").read_text())["dataset"]
    assert (dataset["root"], dataset["classes"]) == (str(out / "images"), "folder")
    assert len(list((out / "images").iterdir())) == 20


@pytest.mark.parametrize(
    ("kind", "extra", "said"),
    [
        ("scratches", ["--scale", "large"], "tiny, small, paper"),
        ("scratches", ["--side", "20"], "64 to 4096"),
        ("scratches", ["--count", "1"], "two photos"),
        ("illustrations", ["--count", "12"], "need 80"),
        ("illustrations", ["--side", "64"], "sizes of their own"),
        ("weather", ["--scale", "paper"], "tiny, small, large"),
        ("illustrations", ["--count", "0"], "at least one chip or image"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(tmp_path, capsys, kind, extra, said):
    assert main([str(tmp_path / "no"), "--kind", kind, *extra]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "no").exists()
