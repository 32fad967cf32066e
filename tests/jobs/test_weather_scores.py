"""Scores, bold rule and claims on planted embeddings; no pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.weather_evaluation import STATE_SCORES
from jobs.weather_gates import HELD, NOT_HELD, UNKNOWN, judge_gates
from jobs.weather_scores import Question, States, difference, score_of, values_of
from jobs.weather_table import bold_best, table_differences, table_states, table_two
from models.retrieval import cosine, neighbours

COUNT, K = 480, 20
TIMES = np.datetime64("2018-01-01T00:00:00", "s") + np.arange(COUNT // 2).repeat(2) * np.timedelta64(9, "h")
SERIES = np.tile([0, 1], COUNT // 2)


@pytest.fixture(scope="module")
def question():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(COUNT // 2, 6)).repeat(2, 0)
    quadrant = np.where(vectors[:, 0] > 0.8, (vectors[:, 1] > 0).astype(int) * 2, -1)
    queries = np.arange(0, COUNT, 2)
    truth = np.stack([neighbours(cosine(vectors), queries, TIMES, hours, K) for hours in (0, 24, 72)])
    return Question(TIMES, SERIES, queries, K, {"observed_psnr": truth}, States(vectors, quadrant))


def noisy(vectors, noise, seed):
    return vectors + np.random.default_rng(seed).normal(0, noise, vectors.shape)


def test_the_state_itself_is_the_best_embedding(question):
    values = values_of(question.states.vectors, question)
    assert values["recall_observed_psnr_0h"].min() == values["recall_observed_psnr_72h"].min() == 1
    assert values["typhoon_hit_72h"][question.states.quadrant[question.queries] < 0].size
    storm = question.states.quadrant[question.queries] >= 0
    assert np.isnan(values["typhoon_hit_72h"][~storm]).all()
    random = values_of(np.random.default_rng(1).normal(size=(COUNT, 8)), question)
    assert np.nanmean(values["typhoon_hit_72h"]) > 2 * np.nanmean(random["typhoon_hit_72h"])
    assert np.nanmean(values["same_quadrant_72h"]) > 2 * np.nanmean(random["same_quadrant_72h"])
    assert np.nanmean(values["state_ndcg_72h"]) > np.nanmean(random["state_ndcg_72h"]) + 0.2
    crossing = values["cross_sensor"]
    first = SERIES[question.queries] == 0
    assert np.isnan(crossing[~first]).all()
    assert crossing[first].mean() > 0.4  # by cosine, where the truth is by distance
    # the same instant of the other sensor is no answer, nor is anything near it
    assert np.nanmean(random["cross_sensor"]) < 0.14


def test_queries_whose_truth_is_lost_are_left_out(question):
    images = {"observed_psnr": question.images["observed_psnr"].copy()}
    images["observed_psnr"][:, 5] = -1
    values = values_of(question.states.vectors, Question(TIMES, SERIES, question.queries, K, images))
    assert np.isnan(values["recall_observed_psnr_0h"]).nonzero()[0].tolist() == [5]
    assert "state_ndcg_0h" not in values
    assert score_of([values["recall_observed_psnr_0h"]], question.blocks, "recall").mean == 1


@pytest.fixture(scope="module")
def planted(question):
    return methods(question)


def methods(question, better=0.3, worse=3.0, seeds=3):
    vectors = question.states.vectors
    made = {"timely": better, "frozen": worse, "simclr-as-written": worse, "pixels": worse}
    return {
        m: [values_of(noisy(vectors, n, s + 10 * p), question) for s in range(seeds)]
        for p, (m, n) in enumerate(made.items())
    }


def judged(question, values):
    names = [n for n in values["timely"][0] if n.startswith("recall_") or n in STATE_SCORES]
    pairs = [(n, rival) for n in names for rival in ("frozen", "simclr-as-written", "pixels")]
    found = [difference(n, "timely", rival, values, question.blocks) for n, rival in pairs]
    scores = {m: {n: score_of([v[n] for v in by], question.blocks, n) for n in by[0]} for m, by in values.items()}
    return scores, [d for d in found if d is not None]


def test_a_planted_order_is_found_and_the_claims_hold(question, planted):
    scores, differences = judged(question, planted)
    assert all(d.is_clear and d.keeps_order for d in differences)
    verdicts = [g.verdict for g in judge_gates(scores, differences, {"psnr": "PSNR"}, 9)]
    assert verdicts == [HELD] * 6 + [UNKNOWN]  # no layout was made
    ranks = {m: [{"next_rank": np.array(values)}] for m, values in (("timely", [1.0, 2.0]), ("frozen", [5.0, 4.0]))}
    assert difference("next_rank", "timely", "frozen", ranks, np.arange(2)).interval.value == 3  # less is better
    few = judge_gates(scores, differences, {"psnr": "PSNR"}, 2)
    assert [g.verdict for g in few] == [UNKNOWN, UNKNOWN, HELD, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN]
    assert "2 stretches" in few[0].why


def test_equal_methods_hold_no_claim(question):
    scores, differences = judged(question, methods(question, better=3.0, seeds=2))
    gates = judge_gates(scores, differences, {"psnr": "PSNR", "lpips": "LPIPS*"}, 9)
    assert [g.verdict for g in gates[:2]] == [NOT_HELD, NOT_HELD]
    assert "recall_observed_lpips_0h was not measured" in gates[3].why
    assert "not shown" in table_differences(differences).plain()


def test_one_seed_is_no_order(question, planted):
    scores, differences = judged(question, {method: by_seed[:1] for method, by_seed in planted.items()})
    gates = judge_gates(scores, differences, {"psnr": "PSNR"}, 9)
    assert gates[2].verdict == UNKNOWN
    assert "1 seeds, fewer than the 3" in gates[2].why


def test_tables_show_reported_beside_measured_and_never_beside_another_distance(question, planted):
    scores, _ = judged(question, planted)
    named = {
        m: {n.replace("psnr", x): s for x in ("psnr", "lpips") for n, s in row.items()} for m, row in scores.items()
    }
    two = table_two(named, {"lpips": "LPIPS*(random trunk, seed 0)", "psnr": "PSNR"}, 0.03, K)
    row = dict(zip(two.header, two.rows[0], strict=True))
    assert row["PSNR, reported"] == "0.2148 ± 0.0974"
    assert row["LPIPS*(random trunk, seed 0), reported"] == "-"
    two = table_two(named, {"lpips": "LPIPS(alex)"}, 0.03, K)
    assert "0.2096 ± 0.0736" in two.rows[0]
    assert f"{scores['timely']['recall_observed_psnr_0h'].mean:.4f} ± " in two.rows[0][2]
    assert two.rows[-1] == ("chance", "-", "0.0300")
    states = table_states(scores, K, {"typhoon_hit_72h": 0.2})
    assert dict(zip(states.header, states.rows[-1], strict=True))["typhoon-hit@3"] == "0.2"


@given(st.lists(st.floats(0, 30, width=32), min_size=1, max_size=9), st.sampled_from(["lpips", "psnr", "ssim"]))
def test_the_best_are_bold_all_that_read_alike_and_no_other(values, metric):
    texts = bold_best(values, metric)
    bold = {t.strip("*") for t in texts if t.startswith("**")}
    plain = [float(t.strip("*")) for t in texts]
    assert {float(t) for t in bold} == {min(plain) if metric == "lpips" else max(plain)}
    assert all(t.startswith("**") == (t.strip("*") in bold) for t in texts)


def test_unknown_values_are_dashes():
    assert bold_best([float("nan"), 0.12345, 0.1229], "lpips") == ["-", "**0.123**", "**0.123**"]
    assert bold_best([float("nan")], "psnr") == ["-"]
    assert bold_best([float("inf"), 12.0], "psnr") == ["**inf**", "12.00"]
