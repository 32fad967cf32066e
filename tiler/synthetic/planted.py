"""A country in which something was built that was not there: what change screening must find."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from tiler.synthetic.country import Country
from tiler.synthetic.lines import Bounds
from tiler.synthetic.noise import Dice
from tiler.synthetic.sites import KIND_NAMES, Site, make_site


class PlantedCountry(Country):
    """A country with more sites; all else is the same, bit for bit."""

    def __init__(self, seed: int, planted: Sequence[Site], style: str = "country") -> None:
        """`planted` are sites of `planted_site`."""
        super().__init__(seed, style)
        self.planted = tuple(planted)

    def sites_within(self, bounds: Bounds, kinds: Collection[str] = KIND_NAMES) -> list[Site]:
        """Return the sites of some kinds that may touch a rectangle, in the order in which they are drawn."""
        x0, y0, x1, y1 = bounds
        more = [
            site
            for site in self.planted
            if site.kind in kinds
            and x0 - site.radius_m <= site.x_m <= x1 + site.radius_m
            and y0 - site.radius_m <= site.y_m <= y1 + site.radius_m
        ]
        found = [*super().sites_within(bounds, kinds), *more]
        return sorted(found, key=lambda s: (KIND_NAMES.index(s.kind), s.x_m, s.y_m))


def planted_site(country: Country, x_m: float, y_m: float, radius_m: float, kind: str = "estate") -> Site | None:
    """Return a new site of about a radius around a place, None where the land does not allow one.

    A function of the country's seed and the place alone.
    """
    dice = Dice(country.seed, 107, round(y_m), round(x_m))
    return make_site(kind, x_m, y_m, dice, country.terrain, (radius_m, radius_m))
