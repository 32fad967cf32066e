"""From the runs that a search names to the archive that it looks through."""

from __future__ import annotations

from collections.abc import Sequence

from jobs.config import RunConfig
from jobs.embed import embedding_of
from jobs.embed_plan import settings_of
from jobs.ingest import ingested
from jobs.plan import Run, plan_run
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
        run = plan_run(config)
        found, wanted = scene_members(run), len(run.scenes)
        if not found:
            raise ValueError(f"{name}: there are no embeddings yet; run `sandan embed {name}` first")
        if len(found) < wanted:
            partly.append(
                f"{wanted - len(found)} of {wanted} scenes of {name} are not embedded yet: sandan embed {name}"
            )
        members += found
        runs.append(run)
    return Archive(members, f"sandan embed {names[0]}"), runs, "; ".join(partly)


def scene_members(run: Run) -> list[Member]:
    """Return the embedding stores of a run of scenes that are finished.

    Raises:
        ValueError: what only workers elsewhere could tell was never decided: nothing was embedded.
    """
    there = ingested(run)
    todo = embedding_of(there, None) if there.scenes else None
    if todo is None:
        return []
    return members_of(todo, {plan.name: run.url("ingest", plan.what.store) for plan in todo.plans})
