"""Gates of a recipe on what it trained: scores that the network must reach, or the command ends with exit code 3.

They judge the scores of the card, which are those of the validation in the epoch that the bundle holds. The bundle is
the same with gates and without, and stays where a gate is not passed: it is what was found, and tells why.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from cluster.storage import Storage
from jobs.embed_recipe_config import EmbedRecipeConfig
from jobs.estimate import Estimate
from jobs.gates import Verdict, announced
from jobs.gates_config import NetworkGates
from jobs.image_recipe_config import AutoencodeRecipeConfig, ClassifyRecipeConfig
from jobs.recipe_config import Recipe, RecipeConfig
from jobs.shell import DONE, INCOMPLETE, Planned
from models.card import CARD_FILE
from models.names import lookup

ADVICE = "its bundle stays as it is; train longer or otherwise, look at its data, or loosen the gate"


@dataclass(frozen=True)
class GatedTraining:
    """A training whose network must reach some scores."""

    planned: Planned
    gates: NetworkGates
    out: str
    """Folder of the bundle."""

    def estimates(self) -> list[Estimate]:
        """Return what there is to do."""
        return self.planned.estimates()

    def run(self) -> int:
        """Train, unless it is trained, and judge; what was not passed before is not passed when it is repeated."""
        code = self.planned.run()
        if code != DONE:
            return code
        failed = announced(judge(self.gates, json.loads(Storage(self.out).get(CARD_FILE))["metrics"]))
        if failed:
            print(f"sandan train: the network of {self.out} does not pass: {failed}: {ADVICE}", file=sys.stderr)
        return INCOMPLETE if failed else DONE


def judge(gates: NetworkGates, scores: Mapping[str, float]) -> list[Verdict]:
    """Judge the scores of a card; one that is not there was not measured, and is not passed."""
    found = []
    for bounds, word, sign in ((gates.least, "least", 1), (gates.most, "most", -1)):
        for name, bound in bounds.items():
            value = scores.get(name)
            passed = value is not None and (value - bound) * sign >= 0
            told = f"{name} is not known" if value is None else f"{name} is {value:.4f}"
            asked = f"at {word} {bound:g} is asked (gates.{word}.{name})"
            found.append(Verdict(name, value, bound, passed, f"{told}, {asked}"))
    return found


def gated(planned: Planned, recipe: Recipe) -> Planned:
    """Return a training with the gates of its recipe, if it has some.

    Raises:
        ValueError: a score that this task does not have.
    """
    if recipe.gates is None:
        return planned
    known = dict.fromkeys(scores_of_task(recipe))
    for word, bounds in (("least", recipe.gates.least), ("most", recipe.gates.most)):
        for name in bounds:
            try:
                lookup(known, name, "score")
            except ValueError as error:
                raise ValueError(f"gates.{word}: {error}") from error
    return GatedTraining(planned, recipe.gates, recipe.out)


def scores_of_task(recipe: Recipe) -> tuple[str, ...]:
    """Return the names of the scores that the card of a recipe's bundle may hold."""
    if isinstance(recipe, RecipeConfig):
        from models.validate import score_names

        return ("training_loss", *score_names(len(recipe.classes)), "ece", "ece_calibrated")
    if isinstance(recipe, ClassifyRecipeConfig):
        from models.classification_scores import SCORES

        return ("training_loss", "cross_entropy", *SCORES, *(f"test_{name}" for name in SCORES))
    if isinstance(recipe, AutoencodeRecipeConfig):
        from models.autoencoding_task import SCORES as OF_CODES

        return ("training_loss", *OF_CODES)
    assert isinstance(recipe, EmbedRecipeConfig)
    from models.embedding_task import SCORES as OF_VECTORS

    return ("training_loss", *OF_VECTORS)
