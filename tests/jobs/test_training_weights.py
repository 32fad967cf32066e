from pathlib import Path

import safetensors.torch
import torch

from jobs.training_weights import absolute_weights, source_digest
from models.embedder_bundle import save_embedder
from tests.jobs.worlds import write_bundle
from tests.models.vits import small_card, small_embedder


def test_bundles_of_both_kinds_are_named_by_their_cards(tmp_path):
    embedder = save_embedder(tmp_path / "embedder", small_embedder(), small_card())
    assert source_digest(f"recipe:{tmp_path}/embedder") == embedder.digest()
    first = source_digest(f"recipe:{write_bundle(tmp_path / 'net', seed=1)}")
    assert first != source_digest(f"recipe:{write_bundle(tmp_path / 'net', seed=2)}")


def test_a_file_is_named_by_its_content_and_a_seed_by_itself(tmp_path):
    path = tmp_path / "w.safetensors"
    safetensors.torch.save_file({"a": torch.zeros(3)}, path)
    before = source_digest(f"file:{path}")
    safetensors.torch.save_file({"a": torch.ones(30)}, path)
    assert source_digest(f"file:{path}") != before
    assert source_digest("random:3") == "random:3"
    assert source_digest("hub:a/b") == "hub:a/b"


def test_workers_get_addresses_that_mean_the_same_to_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert absolute_weights("file:a.pth") == f"file:{Path(tmp_path).resolve()}/a.pth"
    assert absolute_weights("recipe:s3://maps/net") == "recipe:s3://maps/net"
    assert absolute_weights("random:3") == "random:3"
