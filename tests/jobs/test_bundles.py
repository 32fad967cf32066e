"""Bundles are read as they were written, wherever they lie."""

import pytest

from jobs.bundles import card_of, read_bundles
from jobs.embed_plan import embedder_card
from models.bundle import load_files
from models.card import LARGEST_BYTES
from tests.jobs.vectors import write_embedder
from tests.jobs.worlds import write_bundle


def test_the_files_of_each_in_order(tmp_path):
    folders = [write_bundle(tmp_path / name, seed) for seed, name in ((1, "one"), (2, "two"))]
    (tmp_path / "one" / "curves.png").write_bytes(b"not needed")
    read = read_bundles(folders)
    assert [sorted(files) for files in read] == [["card.json", "weights.safetensors"]] * 2
    assert [load_files(files)[0].name for files in read] == ["one", "two"]


def test_a_bundle_that_is_not_there_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="card"):
        read_bundles([str(tmp_path / "nowhere")])


def test_a_card_is_read_with_the_folder_in_every_error(tmp_path):
    folder = write_bundle(tmp_path / "one")
    assert card_of(folder).name == "one"
    card = tmp_path / "one" / "card.json"
    for data, says in ((b"{}", "is not a card"), (b" " * (LARGEST_BYTES + 1), "no card is that large")):
        card.write_bytes(data)
        with pytest.raises(ValueError, match=rf"models: .*one.*{says}"):
            card_of(folder)
    card.unlink()
    with pytest.raises(ValueError, match=r"no bundle at .*one \(card\.json is missing\); train it first"):
        card_of(folder)


def test_the_card_of_an_embedder_is_read_with_the_folder_in_every_error(tmp_path):
    folder = write_embedder(tmp_path / "one")
    assert embedder_card(folder).name == "one"
    card = tmp_path / "one" / "card.json"
    for data, says in ((b"{}", "card"), (b" " * (LARGEST_BYTES + 1), "no card is that large")):
        card.write_bytes(data)
        with pytest.raises(ValueError, match=f"embed.model: .*one.*{says}"):
            embedder_card(folder)
    with pytest.raises(ValueError, match=r"no bundle at .*task: embed"):
        embedder_card(str(tmp_path / "nowhere"))
