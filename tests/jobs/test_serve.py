"""The command: what it refuses before it listens."""

import json

import pytest

from jobs.serve import main


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["{empty}"], "has no published map yet"),
        (["{half}"], "has no published map yet: infer has 3 of 8 window shards (running)"),
        (["{unrecorded}"], "run `sandan publish` again"),
        (["{lacking}"], "lacks ['class.tif']"),
        (["{empty}", "--port", "70000"], "--port 70000"),
        (["{empty}", "--host", "example.org"], "'example.org' does not appear to be"),
        (["{empty}/no.yaml"], "no.yaml does not exist"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_a_sentence(tmp_path, capsys, words, said):
    folders = {name: tmp_path / name for name in ("empty", "half", "unrecorded", "lacking")}
    for folder in folders.values():
        folder.mkdir()
    progress = {"stage": "infer", "done": 3, "total": 8, "unit": "window shards", "state": "running"}
    (folders["half"] / "progress.json").write_text(json.dumps(progress))
    pointer = {"key": "k", "folder": "maps/k", "files": {"class": {"href": "class.tif"}}}
    for name in ("unrecorded", "lacking"):
        (folders[name] / "map.json").write_text(json.dumps(pointer))
    (folders["lacking"] / "run.json").write_text(json.dumps({"products": {"key": "k"}}))
    assert main([word.format(**folders) for word in words]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert told.startswith("sandan serve: ")
    assert told.count("\n") == 1


def test_a_port_that_is_taken_is_told(tmp_path, capsys):
    import socket

    from jobs.map_page.serving import hosts_of, serve

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match="give another --port"):
            serve(None, "127.0.0.1", taken.getsockname()[1], False)
    assert hosts_of("0.0.0.0") == ("*",)
    assert "10.1.2.3" in hosts_of("10.1.2.3")
    assert "*" not in hosts_of("10.1.2.3")
