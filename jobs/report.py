"""The report of a run: one HTML page that explains the map to whoever opens it in ten years.

The page needs nothing but itself: figures are inside it, there are no scripts, fonts or links to elsewhere.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

import jinja2

TEMPLATE = "report.html.j2"


@dataclass(frozen=True)
class Figure:
    """A picture with its text."""

    title: str
    caption: str
    png: bytes
    wide: bool = False
    """Whether it takes the whole width of the page, as panels beside each other do."""

    @property
    def source(self) -> str:
        """The picture as a data URI."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode("ascii")


@dataclass(frozen=True)
class Table:
    """A table with its text. Cells are shown as `cell_text` writes them."""

    title: str
    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[object]]

    def __post_init__(self) -> None:
        """Refuse rows of another length than the header: a shifted cell would be read as another number."""
        for place, row in enumerate(self.rows):
            if len(row) != len(self.header):
                raise ValueError(
                    f"table {self.title!r}: asked for {len(self.header)} cells, found {len(row)} in row {place}; "
                    "give every row one cell per column, None where unknown"
                )

    def numeric(self, column: int) -> bool:
        """Whether a column holds only numbers (and unknowns), so that its digits should line up."""
        cells = [row[column] for row in self.rows if row[column] is not None]
        return bool(cells) and all(isinstance(cell, int | float) and not isinstance(cell, bool) for cell in cells)


@dataclass(frozen=True)
class ReportFacts:
    """What the page says, in the order of the page. Parts that are empty are left out."""

    title: str
    run_id: str
    created: str
    """ISO 8601, with time zone."""
    summary: Sequence[tuple[str, object]] = ()
    """(label, value): the few numbers one wants to see first."""
    warnings: Sequence[str] = ()
    """What a reader must know before trusting the map: quarantined scenes, missing areas."""
    warnings_title: str = "Before you trust this map"
    figures: Sequence[Figure] = ()
    figures_title: str = "Map"
    changes: Sequence[Table] = ()
    """Of a product: what is new, and what gates say of it."""
    classes: Sequence[Table] = ()
    """How much of the map is of which class."""
    regions: Sequence[Table] = ()
    """How much of each region is of which class."""
    trust: Sequence[Table] = ()
    """What the map says of itself: its seams."""
    quality: Sequence[Table] = ()
    """Per scene: exact missing ratio, its 3-patch estimate, band statistics, coverage."""
    evaluation: Sequence[Table] = ()
    """Metrics beside those of the baselines."""
    evaluation_figures: Sequence[Figure] = ()
    models: Sequence[Table] = ()
    timings: Sequence[Table] = ()
    """Wall time and bytes per stage."""
    history: Sequence[Table] = ()
    """Of a product: what was found and done before."""
    config_yaml: str = ""
    """The resolved configuration."""
    provenance: Mapping[str, object] = field(default_factory=dict)
    """Versions, git commit, hashes."""
    description: str = ""
    """One paragraph under the title."""


@dataclass(frozen=True)
class Section:
    """A titled group of tables, with pictures above them."""

    anchor: str
    title: str
    tables: Sequence[Table]
    figures: Sequence[Figure] = ()


def sections(facts: ReportFacts) -> list[Section]:
    """The groups of tables that have something to show, in the order of the page."""
    groups = [
        Section("changes", "What changed", facts.changes),
        Section("classes", "Classes", facts.classes),
        Section("regions", "Regions", facts.regions),
        Section("trust", "Quality of the map", facts.trust),
        Section("quality", "Quality of the imagery", facts.quality),
        Section("evaluation", "Evaluation", facts.evaluation, facts.evaluation_figures),
        Section("models", "Networks", facts.models),
        Section("timings", "Time and bytes", facts.timings),
        Section("history", "Ticks", facts.history),
    ]
    return [group for group in groups if group.tables]


def cell_text(value: object) -> str:
    """A cell as text: four significant digits for floats, thin groups for large integers, a dash for unknown.

    NaN is unknown as well; zero is a number and shows as 0.
    """
    if value is None or (isinstance(value, float) and value != value):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace(",", "\u202f") if abs(value) >= 10_000 else str(value)
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 10_000 or abs(value) >= 1e15 else cell_text(round(value))
    return str(value)


def render_report(facts: ReportFacts) -> str:
    """The page as one string of HTML. Every text is escaped; nothing in it can run."""
    return _template().render(facts=facts, sections=sections(facts))


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("jobs"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,  # a misspelt field is an error here, not a hole in the page
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["cell"] = cell_text
    return environment.get_template(TEMPLATE)
