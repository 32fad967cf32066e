"""The ledger: rates, shares and costs follow from what a stage wrote down."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.ledger import STEPS, ledger, ledger_of

ENGINE = {"kind": "ray", "workers": 3, "concurrency": 2, "gpus_per_worker": 0.5}
FACTS = {"seconds": 20.0, "units": 9, "failed": 1, "windows": 128, "ground_km2": 50.0, "busy_s": 90.0, "engine": ENGINE}
FACTS |= {"read_s": 5.0, "forward_s": 30.0, "write_s": 15.0}


def test_the_numbers_of_one_stage():
    found = ledger_of(FACTS, price_per_worker_hour=6.0)
    assert found == pytest.approx(
        {
            "seconds": 20.0,
            "worker_hours": 60 / 3600,
            "gpu_seconds": 30.0,
            "units_per_s": 0.4,
            "windows_per_s": 6.4,
            "km2_per_s": 2.5,
            "share_of_steps": pytest.approx({"read": 0.1, "forward": 0.6, "write": 0.3}),
            "busy_share": 0.75,
            "cost": 0.1,
        }
    )


def test_the_share_of_windows_that_all_networks_saw():
    assert ledger_of(FACTS | {"refined": 32})["refined_share"] == 0.25
    assert "refined_share" not in ledger_of(FACTS | {"windows": 0, "refined": 0})


def test_what_was_not_counted_is_not_told():
    found = ledger_of({"seconds": 0.0, "units": 0, "failed": 0, "engine": {"workers": 1, "concurrency": 1}})
    assert found == {"seconds": 0.0, "worker_hours": 0.0, "gpu_seconds": 0.0, "share_of_steps": {}}


@given(st.dictionaries(st.sampled_from(STEPS), st.floats(0.001, 1e6), min_size=1))
def test_shares_add_up_to_one_and_keep_their_order(steps):
    shares = ledger_of(
        FACTS | {"read_s": 0.0, "forward_s": 0.0, "write_s": 0.0} | {f"{n}_s": v for n, v in steps.items()}
    )
    found = shares["share_of_steps"]
    assert sum(found.values()) == pytest.approx(1)
    assert sorted(steps, key=steps.__getitem__) == sorted(steps, key=lambda n: (found[n], steps[n]))


def test_stages_add_up():
    mosaic = {"seconds": 2.0, "units": 1, "failed": 0, "engine": ENGINE | {"gpus_per_worker": 0.0}}
    found = ledger({"infer": FACTS, "mosaic": mosaic, "publish": {"seconds": 4.0}}, 3600.0)
    assert list(found) == ["infer", "mosaic", "all"]
    assert found["all"] == pytest.approx(
        {"seconds": 22.0, "worker_hours": 66 / 3600, "gpu_seconds": 30.0, "cost": 66.0}
    )
    assert "cost" not in ledger({"infer": FACTS})["all"]
