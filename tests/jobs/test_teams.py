"""Teams of threads share a worker's cores; what they answer is what one team answers, to the bit."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier, Event, get_ident

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cluster.engine import SerialEngine
from jobs.config import RunConfig
from jobs.infer import infer_stage, make_logit_store
from jobs.ingest import ingest
from jobs.parsing import load
from jobs.plan import Precision, Run, plan_run
from jobs.teams import AT_ONCE, ONE_TEAM, Teams
from tests.jobs.worlds import INFER, image, world


@given(st.floats(0.05, 256), st.sampled_from(["cpu", "cuda"]), st.sampled_from(["none", "default"]))
def test_teams_share_the_cores_of_a_worker(cores, device, compile):
    teams = Teams.of(cores, device, compile)
    if device == "cuda":
        assert teams is ONE_TEAM
    else:
        assert teams.count == (AT_ONCE if compile == "none" and cores >= AT_ONCE else 1)
        assert cores - teams.count < teams.count * teams.threads <= max(cores, 1)


def test_each_team_has_its_threads_and_the_rest_of_the_process_keeps_its_own():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        teams, met = Teams(2, 5).start(), Barrier(2, timeout=60)

        def look() -> tuple[int, int]:
            met.wait()
            return get_ident(), torch.get_num_threads()

        for _ in range(2):
            found = [one.result() for one in [teams.submit(look), teams.submit(look)]]
            assert len(dict(found)) == 2
            assert {threads for _, threads in found} == {5}
            assert torch.get_num_threads() == 3
            assert ThreadPoolExecutor(1).submit(torch.get_num_threads).result() == 3
            torch.set_num_threads(3)  # as the serial engine does once it has made the stage
    finally:
        torch.set_num_threads(before)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    here = world(tmp_path_factory.mktemp("teams"), infer=INFER | {"tile_px": 32, "overlap_px": 0})
    array = image(301, 230, 3)
    array[:, :40, :40] = 0  # a window without any pixel
    here.scene("a", array)
    planned = plan_run(load(RunConfig, here.config))
    ingest(planned, SerialEngine(1))
    return planned


def answers(run: Run, how: Precision, teams: Teams) -> list[dict]:
    """Return the records of all units, without times."""
    (plan,) = run.logits(how)
    make_logit_store(run, plan)
    work = replace(infer_stage(run, [plan], how), teams=teams)()
    records = [work(shard) for shard in plan.shards()]
    return [{k: v for k, v in one.items() if not k.endswith("_s") and k != "peak_memory_bytes"} for one in records]


@pytest.mark.parametrize("batch", [1, 3])
def test_teams_answer_what_one_team_answers(run, batch):
    how = Precision("cpu", "fp32", batch)
    expected = answers(run, how, ONE_TEAM)
    assert [one["windows"] for one in expected] == [15, 16, 16, 16, 8, 8]
    for teams in (Teams(2, 1), Teams(3, 1)):
        assert answers(run, how, teams) == expected


def test_of_a_unit_that_fails_the_reason_arrives_and_the_teams_go_on(run, monkeypatch):
    from models.predict import Ensemble

    how, whole, asked = Precision("cpu", "fp32", 1), Ensemble.launch, []

    def failing(self, imagery, corners, side_px):
        asked.append(corners)
        if len(asked) == 5:
            raise RuntimeError("injected")
        return whole(self, imagery, corners, side_px)

    monkeypatch.setattr(Ensemble, "launch", failing)
    (plan,) = run.logits(how)
    make_logit_store(run, plan)
    work, (first, *_) = replace(infer_stage(run, [plan], how), teams=Teams(2, 1))(), plan.shards()
    with pytest.raises(RuntimeError, match="injected"):
        work(first)
    assert work(first)["digest"] == answers(run, how, ONE_TEAM)[0]["digest"]


def test_of_what_waits_the_least_turn_comes_first():
    began, go, order = Event(), Event(), []
    team = ONE_TEAM.start()
    first = team.submit(lambda: (began.set(), go.wait(60)))
    began.wait(60)
    asked = [team.submit(order.append, (turn, number), turn=turn) for number, turn in enumerate((2, 0, 1, 0))]
    go.set()
    for done in (first, *asked):
        done.result(60)
    assert order == [(0, 1), (0, 3), (1, 2), (2, 0)]


def test_what_a_team_raises_reaches_who_asked_and_the_team_goes_on():
    team = ONE_TEAM.start()
    with pytest.raises(ZeroDivisionError):
        team.submit(divmod, 1, 0).result(60)
    assert team.submit(divmod, 7, 2).result(60) == (3, 1)
