"""Progress: the sentences, by a clock that we set."""

import io

import pytest

from jobs.progress import Progress, duration, facts_text, line, rate_text


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (41.4, "0:41"), (59.6, "1:00"), (3599, "59:59"), (3600, "1:00:00"), (90061, "25:01:01")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("per_s", "text"), [(1.3, "1.3/s"), (812.0, "812/s"), (0.5, "30/min"), (0.05, "3.0/min"), (0.001, "3.6/h")]
)
def test_rates_keep_two_digits(per_s, text):
    assert rate_text(per_s) == text


def test_a_line_says_count_share_rate_and_time_left():
    assert line("infer", 12, 64, "windows", 9.4) == "infer   12/64 windows  18 %  1.3/s  left 0:41"


def test_nothing_is_promised_before_the_first_unit():
    assert line("infer", 0, 64, "windows", 0.0) == "infer   0/64 windows   0 %"
    assert line("infer", 0, 64, "windows", 30.0) == "infer   0/64 windows   0 %"


def test_the_end_says_how_long_it_took():
    assert line("infer", 64, 64, "windows", 50.0) == "infer   64/64 windows  100 %  1.3/s  took 0:50"


def test_an_unknown_total_leaves_share_and_time_left_out():
    assert line("ingest", 7, None, "scenes", 2.0, note="S2A_1") == "ingest   7 scenes  3.5/s  S2A_1"


def test_hundred_percent_only_when_all_is_done():
    assert facts_text(999, 1000, 10.0).startswith("99 %")


def test_restored_units_do_not_count_for_the_rate():
    assert facts_text(60, 100, 10.0, restored=50) == "60 %  1.0/s  left 0:40"


def test_no_work_at_all_is_no_division_by_zero():
    out = io.StringIO()
    with Progress(0, "infer", stream=out):
        pass
    assert out.getvalue().splitlines()[-1] == "infer   0/0 units  took 0:00"


def test_a_log_gets_few_lines():
    out, clock = io.StringIO(), Clock()
    with Progress(100, "infer", unit="windows", stream=out, clock=clock) as progress:
        for _ in range(100):
            clock.now_s += 0.12
            progress.advance()
    assert out.getvalue().splitlines() == [
        "infer   0/100 windows   0 %",
        "infer   84/100 windows  84 %  8.3/s  left 0:02",
        "infer   100/100 windows  100 %  8.3/s  took 0:12",
    ]


def test_an_error_is_named_in_the_last_line_and_goes_on():
    out, clock = io.StringIO(), Clock()

    def stage() -> None:
        with Progress(4, "mosaic", unit="cells", stream=out, clock=clock) as progress:
            clock.now_s += 1
            progress.advance(note="cell 2,3")
            raise KeyError("cell")

    with pytest.raises(KeyError):
        stage()
    assert out.getvalue().splitlines()[-1] == "mosaic   1/4 cells  25 %  1.0/s  left 0:03  stopped by KeyError"


@pytest.mark.parametrize("total", [8, None])
def test_a_terminal_gets_a_bar(total, monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    out, clock = Terminal(), Clock()
    with Progress(total, "infer", unit="windows", restored=2, stream=out, clock=clock) as progress:
        clock.now_s += 2.0
        progress.advance(4, note="[0, 1]")
    text = out.getvalue()
    assert "infer" in text
    assert "windows" in text
    assert "[0, 1]" in text  # square brackets are text here, not rich's markup
    assert ("75 %" in text) == (total is not None)


def test_a_terminal_is_drawn_ten_times_a_second_and_at_the_end(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    clock = Clock()
    with Progress(5000, "infer", stream=Terminal(), clock=clock) as progress:
        drawn = []
        monkeypatch.setattr(progress._bar, "update", lambda task, **facts: drawn.append(facts["completed"]))
        for _ in range(5000):
            clock.now_s += 0.001
            progress.advance()
    assert 40 <= len(drawn) <= 51
    assert drawn[-1] == 5000


def test_facts_for_programs():
    clock = Clock()
    with Progress(100, "infer", unit="windows", restored=50, stream=io.StringIO(), clock=clock) as progress:
        assert progress.facts() == {
            **{"stage": "infer", "unit": "windows", "done": 50, "total": 100, "restored": 50, "failed": 0},
            **{"elapsed_s": 0.0, "rate_per_s": None, "left_s": None},
        }
        clock.now_s += 4
        progress.advance(10, failed=3)
        facts = progress.facts()
        assert (facts["done"], facts["failed"], facts["rate_per_s"], facts["left_s"]) == (60, 3, 2.5, 16.0)
        progress.total = None
        assert progress.facts()["left_s"] is None
