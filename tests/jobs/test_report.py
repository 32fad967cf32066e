"""The report: everything in one page, nothing that runs, nothing from elsewhere."""

import base64
import dataclasses
from html.parser import HTMLParser

import pytest

from jobs.report import Figure, ReportFacts, Table, cell_text, render_report

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


class Page(HTMLParser):
    """Counts tags, collects addresses and checks that tags close in order."""

    VOID = ("meta", "img", "br", "link")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join("".join(self.text).split())


def facts() -> ReportFacts:
    return ReportFacts(
        title="Industrial areas around Seoul",
        run_id="seoul-2024",
        created="2026-10-02T08:30:00+09:00",
        summary=[("scenes", 12), ("missing, %", 3.82)],
        warnings=["S2B_1 is quarantined: 71 % missing"],
        figures=[Figure("Cell 3, 7", "Imagery, probability, class", PNG)],
        quality=[Table("Scenes", "exact and estimated", ("scene", "missing, %"), [("S2A_1", 0.0), ("S2B_1", None)])],
        evaluation=[Table("Held-out cells", "", ("method", "IoU"), [("ensemble", 0.713), ("all background", 0.0)])],
        models=[Table("Ensemble", "", ("name", "parameters"), [("unet-a", 14_321_937)])],
        timings=[Table("Stages", "", ("stage", "s"), [("infer", 412.53)])],
        config_yaml="run: seoul\nmap: {grid: auto}\n",
        provenance={"git commit": "8c62744d", "torch": "2.10.0"},
    )


def test_everything_is_on_the_page():
    page = Page(render_report(facts()))
    for text in (
        "Industrial areas around Seoul",
        "seoul-2024",
        "3.82",
        "S2B_1 is quarantined: 71 % missing",
        "Imagery, probability, class",
        "0.713",
        "14\u202f321\u202f937".replace("\u202f", " "),
        "412.5",
        "map: {grid: auto}",
        "8c62744d",
    ):
        assert text in page.words, text


def test_the_page_needs_nothing_from_elsewhere():
    text = render_report(facts())
    page = Page(text)
    assert "script" not in page.tags
    assert "link" not in page.tags
    assert all(address.startswith(("#", "data:image/png;base64,")) for address in page.addresses)
    assert "url(" not in text
    assert "@import" not in text


def test_figures_are_inside():
    assert base64.b64encode(PNG).decode() in render_report(facts())


def test_links_within_the_page_arrive():
    text = render_report(facts())
    anchors = [address[1:] for address in Page(text).addresses if address.startswith("#")]
    assert len(anchors) == 7
    assert all(f'id="{anchor}"' in text for anchor in anchors)


def test_text_cannot_become_markup():
    evil = "<script>alert('x')</script>"
    nasty = dataclasses.replace(
        facts(),
        title=evil,
        warnings=[evil],
        config_yaml=evil,
        provenance={evil: evil},
        figures=[Figure(evil, evil, PNG)],
        quality=[Table(evil, evil, (evil,), [(evil,)])],
    )
    text = render_report(nasty)
    assert "<script" not in text
    assert "script" not in Page(text).tags


def test_what_is_empty_is_left_out():
    text = render_report(ReportFacts(title="T", run_id="r", created="2026-10-02"))
    page = Page(text)
    assert "table" not in page.tags
    assert "h2" not in page.tags
    assert page.addresses == []


def test_unknown_is_a_dash_and_zero_is_a_zero():
    text = render_report(facts())
    assert '<td class="number">0</td>' in text
    assert '<td class="number">–</td>' in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (0, "0"),
        (0.0, "0"),
        (True, "yes"),
        (9999, "9999"),
        (1234567, "1\u202f234\u202f567"),
        (0.123456, "0.1235"),
        (1e-7, "1e-07"),
        (1234567.8, "1\u202f234\u202f568"),
        (float("inf"), "inf"),
        ("a", "a"),
    ],
)
def test_cells(value, text):
    assert cell_text(value) == text


def test_a_row_that_does_not_fit_its_header_is_refused():
    with pytest.raises(ValueError, match="asked for 2 cells, found 1 in row 1"):
        Table("Scenes", "", ("scene", "missing"), [("a", 1.0), ("b",)])


def test_numbers_of_a_column_line_up_only_if_all_are_numbers():
    table = Table("t", "", ("a", "b", "c", "d"), [(1, "x", True, None), (None, 2, False, None)])
    assert [table.numeric(column) for column in range(4)] == [True, False, False, False]
