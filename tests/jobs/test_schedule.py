"""Ticks of a plan: what is new is mapped and published, what is not costs nothing, and nothing bad is published."""

from tests.jobs.products import country


def test_three_ticks_map_what_is_new_and_nothing_else(tmp_path, capsys):
    with country(tmp_path, "north", "south") as here:
        code, whole = here.tick()
        print(here.record)
        assert (code, whole > 0) == (0, True)
        first = here.latest
        assert here.tick() == (0, 0)
        assert "nothing new" in capsys.readouterr().out
        assert here.latest == first
        here.month()
        here.scene("isle")
        code, more = here.tick()
        assert (code, 0 < more < whole) == (0, True)
