"""From the runs that a search names to the archive that it looks through."""

from __future__ import annotations

from collections.abc import Sequence

from jobs.config import RunConfig
from jobs.datasets import PlannedDataset
from jobs.embed_plan import settings_of
from jobs.embedding import embedding_of
from jobs.ingest import ingested
from jobs.kinds import plan_of
from jobs.plan import Run
from jobs.search_archive import Archive, Member, members_of


def archive_of(configs: Sequence[RunConfig], names: Sequence[str]) -> tuple[Archive, list[Run], str]:
    """Return everything that some runs have embedded.

    Args:
        configs: of the runs.
        names: what people call them: their files.

    Returns:
        The archive, the runs of scenes among them, and what of them is not embedded yet, as a sentence.

    Raises:
        ValueError: a run that cannot be planned, or has no embeddings at all.
    """
    members: list[Member] = []
    runs: list[Run] = []
    partly: list[str] = []
    for config, name in zip(configs, names, strict=True):
        settings_of(config)
        planned = plan_of(config)
        if isinstance(planned, PlannedDataset):
            raise ValueError(f"{name}: it names a `dataset`; a search looks through `scenes` or `frames`")
        todo = embedding_of(ingested(planned) if isinstance(planned, Run) else planned, None)
        found = [] if todo is None else members_of(todo)
        if not found:
            raise ValueError(f"{name}: there are no embeddings yet; run `sandan embed {name}` first")
        if isinstance(planned, Run):
            runs.append(planned)
            lacking = len(planned.scenes) - len(found)
            if lacking:
                some = f"{lacking} of {len(planned.scenes)} scenes of {name} are not embedded yet"
                partly.append(f"{some}: sandan embed {name}")
        members += found
    return Archive(members, f"sandan embed {names[0]}"), runs, "; ".join(partly)
