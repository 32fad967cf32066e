"""The table of regions: true to the file, the largest first, and never longer than a page."""

from jobs.region_table import MOST_REGIONS, region_table

HEAD = "region,region_m2,mapped_m2,mapped_share,background_m2,background_share,works_m2,works_share,repaired\n"


def test_the_largest_come_first_and_what_is_unknown_stays_unknown():
    text = (
        HEAD
        + "east,2e6,1e6,0.5,9e5,0.9,1e5,0.1,False\nnorth,3e6,0,0,0,,0,,False\n서,4e6,4e6,1,3e6,0.75,1e6,0.25,True\n"
    )
    (table,) = region_table(text.encode(), ("background", "works"))
    assert list(table.header) == ["region", "km²", "mapped", "works, km²", "works, share"]
    assert list(table.rows) == [("서", 4, 1, 1, 0.25), ("east", 2, 0.5, 0.1, 0.1), ("north", 3, 0, 0, None)]
    assert "more" not in table.caption


def test_a_country_of_many_regions_fits_on_the_page():
    rows = "".join(f"r{n:03d},1e6,1e6,1,1e6,1,{n},0,False\n" for n in range(MOST_REGIONS + 7))
    (table,) = region_table((HEAD + rows).encode(), ("background", "works"))
    assert len(table.rows) == MOST_REGIONS
    assert table.rows[0][0] == f"r{MOST_REGIONS + 6:03d}"
    assert " 7 more regions" in table.caption
