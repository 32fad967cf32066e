"""Hosts that answer late, wrongly, without end, or in somebody else's name."""

import gzip
import json

import pytest

from tests.tiler.stac_for_tests import api, search
from tests.tiler.test_stac_scenes import MANY, ids
from tiler import stac_documents, stac_web
from tiler.sensors import SENSORS
from tiler.sources import Sources
from tiler.stac_scenes import find_scenes

HERE = Sources(schemes=("s3", "http"), hosts=("127.0.0.1",))
BUSY = (503, {"Retry-After": "0"}, b"")


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(stac_web, "BACK_OFF_S", 0.0)


def found(here):
    return ids(find_scenes(search(here.address), SENSORS["SN10"], HERE)[0])


def refusal(here, sources=HERE):
    with pytest.raises(ValueError) as told:  # noqa: PT011
        find_scenes(search(here.address), SENSORS["SN10"], sources)
    return str(told.value)


def test_a_host_that_is_busy_is_asked_again():
    with api(MANY, answers=[BUSY, (429, {}, b""), (504, {}, b"")]) as here:
        assert found(here) == list("abcdefg")
    with api(MANY, answers=[(502, {}, b"")] * 20) as here:
        assert "answers 502" in refusal(here)
        assert len(here.asked) == 1 + stac_web.RETRIES


def test_an_answer_that_is_cut_off_is_asked_for_again():
    torn = (200, {"content-length": "999"}, b'{"type":')
    with api(MANY, answers=[torn, torn]) as here:
        assert found(here) == list("abcdefg")
    with api(MANY, answers=[torn] * 9) as here:
        assert "cannot be reached (ChunkedEncodingError)" in refusal(here)
        assert len(here.asked) == 1 + stac_web.TORN


def test_nobody_answers():
    with api(MANY) as here:
        pass
    assert "cannot be reached (ConnectionError); check the address" in refusal(here)


def test_what_a_host_says_of_an_error_is_told():
    with api(MANY, answers=[(404, {}, b'{"detail": "no such\n catalogue"}')]) as here:
        assert 'answers 404 Not Found: \'{"detail": "no such catalogue"}\'; check address' in refusal(here)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_not_followed(status):
    with api(MANY, answers=[(status, {"location": "http://169.254.169.254/latest?token=abcdef"}, b"")]) as here:
        told = refusal(here)
        assert "sends on to 'http://169.254.169.254/latest?...', which is not followed" in told
        assert len(here.asked) == 1


def with_link(href, **fields):
    def spoil(answer):
        if "features" not in answer:
            return answer
        return answer | {"links": [{"rel": "next", "href": href, **fields}]}

    return spoil


@pytest.mark.parametrize(
    ("href", "told"),
    [
        ("http://evil.example.net/search?token=abcdef", "not among"),
        ("https://127.0.0.1/search", "does not name https"),
        ("file:///etc/passwd", "no address of a web host"),
        ("gopher://127.0.0.1", "no address of a web host"),
    ],
)
def test_pages_lie_on_hosts_that_the_run_names(href, told):
    with api(MANY, spoil=with_link(href)) as here:
        assert told in refusal(here)
        assert "abcdef" not in refusal(here)


def test_a_page_that_is_a_path_is_one_of_the_host():
    with api(MANY, spoil=with_link("/etc/passwd")) as here:
        specs, notes = find_scenes(search(here.address), SENSORS["SN10"], HERE)
        assert here.asked[-1][:2] == ("GET", "/etc/passwd")
    assert len(specs) == 2
    assert "found 5 items more than it answered" in notes[0]


@pytest.mark.parametrize("link", [{}, {"method": "POST", "body": {"token": "0"}, "merge": True}])
def test_pages_that_go_round_in_a_circle(link):
    with api(MANY, spoil=lambda answer: with_link(f"{here.address}/search", **link)(answer)) as here:
        assert "its pages loop" in refusal(here)


def test_pages_without_end():
    """Each names another page, all with the same items."""
    count = iter(range(10**6))
    with (
        api(MANY, spoil=lambda answer: with_link(f"{here.address}/search?n={next(count)}")(answer)) as here,
        pytest.raises(ValueError, match="more than 40 items"),
    ):
        find_scenes(search(here.address, max_items=20), SENSORS["SN10"], HERE)


def test_answers_are_limited_in_size_also_when_they_unfold(monkeypatch):
    monkeypatch.setattr(stac_documents, "MOST_BYTES", 2**20)
    bomb = gzip.compress(b" " * 2**24)
    assert len(bomb) < 2**15
    for headers, data in (({"content-encoding": "gzip"}, bomb), ({}, b" " * 2**21)):
        with api(MANY, answers=[(200, headers, data)]) as here:
            assert "more than 1 MiB" in refusal(here)


def test_answers_are_limited_in_time(monkeypatch):
    monkeypatch.setattr(stac_web, "ANSWER_S", -1.0)
    with api(MANY) as here:
        assert "for one answer" in refusal(here)


@pytest.mark.parametrize(
    "page",
    [
        *(b"[]", b"<html>", b"null", b"\xff\xfe", b"[" * 10_000),
        *(json.dumps(p).encode() for p in ({"features": 7}, {"features": [1], "links": 3})),
        json.dumps({"features": [{"id": "a"}], "links": [{"rel": "next"}]}).encode(),
        json.dumps({"features": [{"id": "a"}], "links": ["next"]}).encode(),
    ],
)
def test_pages_that_are_none(page):
    with api(MANY) as here:
        landing = (200, {}, json.dumps(here.landing()).encode())
        here.answers = [landing, (200, {}, page)]
        assert refusal(here)


@pytest.mark.parametrize(
    "change",
    [
        {"type": "Collection"},
        {"conformsTo": 7},
        {"links": [{"rel": "search"}]},
        {"links": [{"rel": "search", "href": 7}]},
        {"stac_version": []},
        {"id": None, "description": None},
    ],
)
def test_landing_pages_that_are_none(change):
    with api([], spoil=lambda answer: answer | change) as here:
        assert refusal(here)


def test_a_host_must_be_named():
    with api(MANY) as here:
        assert "does not name http" in refusal(here, Sources())
        assert here.asked == []
