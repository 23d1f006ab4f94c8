"""Subgroups of all arms: each group's scores, and how far it lies from all the others."""

import numpy as np
from numpy.typing import NDArray

from fedcxr.metrics.studies import STUDIES
from fedcxr.metrics.subgroups import UNKNOWN, ScoredGroup, age_band, rule_words, score_groups
from fedcxr.results.details import Group, GroupScores, Subgroups
from fedcxr.results.judging.all_models import AllModels, Pair, ScoreTable
from fedcxr.results.judging.point_details import cuts_at
from fedcxr.results.score import Score
from fedcxr.runs.predictions import Predictions

_NO_VIEW = "By view there are no groups: scores are by study, and one study may have several views."
_FIELDS = {"auroc": "auroc", "sensitivity": "tpr", "fpr": "fpr"}
"""What each measure is called where groups are compared."""


def subgroups(
    models: AllModels,
) -> tuple[dict[str, Subgroups], dict[Pair, tuple[GroupScores, ...]]]:
    """Return the groups of every arm, and the differences of every pair of arms."""
    is_by_study = models.units == STUDIES
    cuts, reasons = cuts_at(models, "youden")
    rows: dict[str, list[Group]] = {arm: [] for arm in models.names}
    pairs: dict[Pair, list[GroupScores]] = {pair: [] for pair in models.pairs}
    for found in score_groups(
        models.test.target,
        models.probs,
        models.test.patient_id,
        groups_of(models.test, with_view=not is_by_study),
        labels=models.test.labels,
        cuts=cuts,
        reasons=reasons,
        units=models.units,
    ):
        tables = _tables(models, found)
        for column in range(len(models.test.labels)):
            for arm in models.names:
                own = {name: table.arms[arm][column] for name, table in tables.items()}
                rows[arm].append(_group(found, models, column, own))
            for pair in models.pairs:
                apart = {name: table.pairs[pair][column] for name, table in tables.items()}
                pairs[pair].append(GroupScores(**_place(found, models, column), **_scores(apart)))
    rule = " ".join([rule_words(models.units), *([_NO_VIEW] if is_by_study else [])])
    return (
        {arm: Subgroups(rule=rule, rows=tuple(own)) for arm, own in rows.items()},
        {pair: tuple(own) for pair, own in pairs.items()},
    )


def _tables(models: AllModels, found: ScoredGroup) -> dict[str, ScoreTable]:
    whole = {_FIELDS[name]: models.table(each) for name, each in found.scored.items()}
    gaps = {f"{_FIELDS[name]}_gap": models.table(each) for name, each in found.gaps.items()}
    return {**whole, **gaps}


def _place(found: ScoredGroup, models: AllModels, column: int) -> dict[str, str]:
    return {
        "attribute": found.attribute,
        "group": found.group,
        "label": models.test.labels[column],
    }


def _scores(found: dict[str, Score]) -> dict[str, Score | None]:
    return {name: found.get(name) for of in _FIELDS.values() for name in (of, f"{of}_gap")}


def _group(found: ScoredGroup, models: AllModels, column: int, own: dict[str, Score]) -> Group:
    whose = found.whose
    positives, negatives = (int(each[column].sum()) for each in (whose.positives, whose.negatives))
    return Group(
        **_place(found, models, column),
        **_scores(own),
        images=positives + negatives,
        patients=int(np.count_nonzero(whose.images[column])),
        positives=positives,
        negatives=negatives,
        reason=found.left_out[column],
    )


def groups_of(test: Predictions, *, with_view: bool) -> dict[str, NDArray[np.str_]]:
    """Return who belongs to which group: sex, age band, and the view, where the file says so."""
    found: dict[str, NDArray[np.str_]] = {}
    given = test.attributes
    if "sex" in given:
        found["sex"] = np.array([str(sex) or UNKNOWN for sex in given["sex"]])
    if "age" in given:
        found["age band"] = np.array([age_band(float(age)) for age in given["age"]])
    if "projection" in given and with_view:
        found["view"] = np.array([str(view) or UNKNOWN for view in given["projection"]])
    return found
