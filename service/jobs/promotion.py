"""`promote_if`: an alias moves to the version of a training only if its figures meet conditions."""

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from models.specs import InvalidInput
from service.records import (
    ALIAS_PATTERN,
    ALIAS_RULE,
    LATEST,
    LOSS_CONDITION_PATTERN,
    LOSS_CONDITION_RULE,
    SHARE_CONDITION_PATTERN,
    SHARE_CONDITION_RULE,
    JobSpec,
)

FIELD = "promote_if"

FIGURES = {
    "accuracy": (SHARE_CONDITION_PATTERN, SHARE_CONDITION_RULE),
    "log_loss": (LOSS_CONDITION_PATTERN, LOSS_CONDITION_RULE),
}
"""The figures that conditions are about: the pattern of a condition, and the same in words."""

OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}


def requested(conditions: Mapping[str, str], alias: str | None) -> dict[str, Any]:
    """Returns `JobSpec.promote`: the conditions by figure, and the alias that they are for, by default `LATEST`.

    Raises:
        InvalidInput: a condition is malformed, there is none, or the alias is not a name.
    """
    if not conditions:
        raise InvalidInput(FIELD, f"needs a condition for {' or '.join(FIGURES)}")
    for figure, condition in conditions.items():
        if figure not in FIGURES:
            raise InvalidInput(f"{FIELD}.{figure}", f"must be a condition for {' or '.join(FIGURES)}")
        pattern, rule = FIGURES[figure]
        if re.fullmatch(pattern, condition) is None:
            raise InvalidInput(f"{FIELD}.{figure}", rule)
    alias = LATEST if alias is None else alias
    if re.fullmatch(ALIAS_PATTERN, alias) is None:
        raise InvalidInput("promote_to", ALIAS_RULE)
    return {"alias": alias, "conditions": dict(conditions)}


def require_validation(spec: JobSpec) -> None:
    """Checks that a job has points that it is not trained on, if it has conditions.

    Raises:
        InvalidInput: it has none.
    """
    settings = spec.training
    has_validation = (
        spec.preset == "auto"
        or "validation" in spec.data
        or (settings.get("validation_fraction") or 0) > 0
        or settings.get("validation_folds") is not None
    )
    if spec.promote is not None and not has_validation:
        raise InvalidInput(
            FIELD,
            "needs figures on points that the network is not trained on: add training.validation_fraction, "
            "training.validation_folds or a dataset for validation, or use the preset auto",
        )


def decide(promote: Mapping[str, Any] | None, evaluation: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    """Returns `JobStatus.promotion`: whether the alias moves, and why.

    Args:
        promote: see `requested`.
        evaluation: the `validation` or `cross_validation` of a card, see `Card.evaluation`.
    """
    if promote is None:
        return None
    kind = next((one for one in ("validation", "cross_validation") if evaluation.get(one)), None)
    if kind is None:
        reason = "There are no figures on validation points."
        return {"alias": promote["alias"], "promoted": False, "reason": reason}
    failed: list[str] = []
    held: list[str] = []
    for figure, condition in promote["conditions"].items():
        compare, limit = _parsed(condition)
        value = evaluation[kind].get(figure)
        holds = value is not None and compare(value, limit)
        shown = "unknown" if value is None else f"{value:.6g}"
        text = f"{figure} is {shown}, {condition} is required"
        (held if holds else failed).append(text)
    source = "validation points" if kind == "validation" else "cross-validation"
    reason = f"By {source}: {'; '.join(failed or held)}."
    return {"alias": promote["alias"], "promoted": not failed, "reason": reason}


def _parsed(condition: str) -> tuple[Callable[[float, float], bool], float]:
    symbol = next(one for one in OPERATORS if condition.startswith(one))  # the longer ones come first
    return OPERATORS[symbol], float(condition.removeprefix(symbol))
