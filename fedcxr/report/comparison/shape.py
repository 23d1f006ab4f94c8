"""The shape of comparison.json, and where a file does not fit it.

Every value may be null and every key may be missing: a comparison of one arm, or of one seed, has
less to say, and its page shows less. What is there must be of the right kind, so that the rest of
this package can trust it. Keys that are not named here are let through: a later fedcxr may have
more.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

EACH = "*"
"""Stands for every key of an object."""

Shape: TypeAlias = "str | list[Shape] | dict[str, Shape]"
"""A kind of leaf by name, a list of one shape, or an object by its keys."""

_ESTIMATE: dict[str, Shape] = {
    "value": "number",
    "ci": "interval",
    "reason": "text",
    "df": "number",
}

_ARM: dict[str, Shape] = {
    **dict.fromkeys(("name", "title", "budget"), "text"),
    **dict.fromkeys(("models", "images_seen", "steps", "seconds"), "number"),
    **dict.fromkeys(("bytes_up", "bytes_down", "seed_sd", "scored", "macro_labels"), "number"),
    **dict.fromkeys(("macro_auroc", "macro_ap", "five_auroc"), "estimate"),
    "macro_by_seed": ["number"],
    "differs": {EACH: "text"},
    "by_label": {
        EACH: {"auroc": "estimate", "ap": "estimate", "positives": "number", "negatives": "number"}
    },
    "curves": {EACH: {EACH: ["number"]}},
    "learning": [
        {
            "seed": "number",
            "site": "text",
            "round": ["number"],
            "train_loss": ["number"],
            "val_loss": ["number"],
            "val_macro_auroc": ["number"],
            "val_accuracy": ["number"],
        }
    ],
    "operating_points": [
        {
            **dict.fromkeys(("label", "point", "reason"), "text"),
            **dict.fromkeys(("threshold", "prevalence", "tp", "fp", "tn", "fn"), "estimate"),
            **dict.fromkeys(("sensitivity", "specificity", "ppv", "npv"), "estimate"),
            **dict.fromkeys(("ppv_at_prevalence", "accuracy", "precision"), "estimate"),
            **dict.fromkeys(("recall", "f1"), "estimate"),
        }
    ],
    "calibration": {
        "temperature": "number",
        "reason": "text",
        "by_label": {
            EACH: {
                **dict.fromkeys(("brier", "ece", "slope", "intercept"), "estimate"),
                "reason": "text",
                "bins": [
                    {
                        **dict.fromkeys(("predicted", "observed", "count"), "number"),
                        "ci": "interval",
                    }
                ],
                "tempered": {EACH: "estimate"},
            }
        },
    },
    "subgroups": {
        "rule": "text",
        "rows": [
            {
                **dict.fromkeys(("attribute", "group", "label", "reason"), "text"),
                **dict.fromkeys(("images", "patients", "positives"), "number"),
                **dict.fromkeys(("auroc", "tpr", "fpr"), "estimate"),
            }
        ],
        "gaps": [
            {"attribute": "text", "label": "text", "tpr_gap": "estimate", "fpr_gap": "estimate"}
        ],
    },
}

SHAPE: dict[str, Shape] = {
    "format": "number",
    **dict.fromkeys(("name", "created", "fedcxr"), "text"),
    "data": {
        **dict.fromkeys(("source", "layout", "score_by"), "text"),
        "synthetic": "flag",
        "labels": ["text"],
        **dict.fromkeys(("test_images", "test_patients"), "number"),
        **dict.fromkeys(("val_images", "val_patients"), "number"),
        "partition": {"scheme": "text", "clients": "number", "digest": "text"},
    },
    "training": {
        "seeds": ["number"],
        **dict.fromkeys(("rounds", "local_epochs", "batch_size", "image_size"), "number"),
        **dict.fromkeys(("learning_rate_how", "model", "precision"), "text"),
        "moments": "text",
    },
    "protocol": {"created": "text", "digest": "text", "margin": "number"},
    "deviations": [{"key": "text"}],
    "endpoint": {
        "measure": "text",
        "min_positives": "number",
        "labels": ["text"],
        "means_over": ["text"],
        "left_out": [{"label": "text", "positives": "number", "negatives": "number"}],
    },
    "statistics": {"resamples": "number", "level": "number", "margin": "number"},
    "arms": [_ARM],
    "differences": [
        {
            **dict.fromkeys(("arm", "against", "about", "power"), "text"),
            **dict.fromkeys(("macro_auroc", "macro_auroc_models"), "estimate"),
            **dict.fromkeys(("macro_ap", "five_auroc"), "estimate"),
            "by_label": {EACH: {**_ESTIMATE, "p": "number", "p_holm": "number"}},
            "verdict": {"word": "text", "reason": "text"},
            "variance": dict.fromkeys(("patients", "patients_df", "trainings", "seeds"), "number"),
            "by_seed": ["number"],
        }
    ],
    "site_matrix": {
        "sites": [{"site_id": "text", "images": "number", "patients": "number"}],
        "models": ["text"],
        "macro_auroc": [["number"]],
        "labels": [["number"]],
        "worst": {EACH: {"site_id": "text", "value": "number"}},
    },
    "site_differences": [
        {
            **dict.fromkeys(("site_id", "against", "about"), "text"),
            "patients": "number",
            "labels": ["text"],
            **_ESTIMATE,
        }
    ],
    "label_frequencies": {EACH: {EACH: ["number"]}},
    "warnings": [
        {
            **dict.fromkeys(("kind", "arm", "edge"), "text"),
            **dict.fromkeys(("trainings", "of_trainings", "rate"), "number"),
            **dict.fromkeys(("slope", "gain", "threshold"), "number"),
            "rates": ["number"],
        }
    ],
    "notes": ["text"],
}
"""What fedcxr/experiments writes; numbers are fractions, counts, seconds or bytes by their name."""


def misfits(value: object, shape: Shape, where: str = "") -> Iterator[str]:
    """Yield where `value` is not of its shape, in words; null fits everywhere.

    >>> list(misfits({"arms": [{"title": 3}, "x"]}, {"arms": [{"title": "text"}]}))
    ['arms[0].title is 3, expected text', "arms[1] is 'x', expected an object"]
    """
    if value is None:
        return
    if isinstance(shape, dict):
        yield from _object_misfits(value, shape, where)
    elif isinstance(shape, list):
        if isinstance(value, list):
            for number, item in enumerate(value):
                yield from misfits(item, shape[0], f"{where}[{number}]")
        else:
            yield _words(value, where, "a list")
    elif shape == "estimate" and isinstance(value, Mapping):
        yield from _object_misfits(value, _ESTIMATE, where)
    elif not _FITS[shape](value):
        yield _words(value, where, _KINDS.get(shape, shape))


def _object_misfits(value: object, shape: dict[str, Shape], where: str) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield _words(value, where, "an object")
        return
    for key, item in value.items():
        part = shape.get(key, shape.get(EACH))
        if part is not None:
            yield from misfits(item, part, f"{where}.{key}" if where else str(key))


def _words(value: object, where: str, kind: str) -> str:
    text = repr(value)
    short = text if len(text) <= 40 else f"{text[:39]}…"
    return f"{where or 'the file'} is {short}, expected {kind}"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_interval(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_bound, value))


def _is_bound(value: object) -> bool:
    return value is None or _is_number(value)


_FITS: dict[str, Callable[[object], bool]] = {
    "number": _is_number,
    "estimate": _is_number,
    "interval": _is_interval,
    "text": lambda value: isinstance(value, str),
    "flag": lambda value: isinstance(value, bool),
}
_KINDS = {
    "number": "a number",
    "estimate": "a number with or without an interval",
    "interval": "a low and a high bound",
    "flag": "true or false",
}
