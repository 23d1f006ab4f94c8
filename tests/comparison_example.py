"""A comparison made up from whole cloth: simulated scores, so that its numbers hang together.

A tree as comparison.json holds it, so that a test can change it before it is read as `Comparison`.
"""

import json

import numpy as np

from fedcxr.data.labels import CHEXPERT_LABELS
from fedcxr.metrics.curves import roc_points
from fedcxr.results.comparison import Comparison

IMAGES, PATIENTS = 900, 380
FIVE = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")
TITLES = {
    "federated": "Federated (FedAvg)",
    "centralized": "Centralized",
    "local": "Local, mean over sites",
}
SKILL = {"federated": 1.21, "centralized": 1.25, "local": 0.95}
POINTS = ("youden", "sens90", "spec90")
RATES = ("sensitivity", "specificity", "ppv", "npv", "ppv_at_prevalence", "f1")
GROUPS = {
    "sex": ("female", "male"),
    "age": ("0-39", "40-59", "60-79", "80+"),
    "view": ("AP", "PA"),
}
TOO_SMALL = (
    "The test set is too small to decide: with 380 patients, and the rarest finding on 26 "
    "of 900 images, the 95 % interval is ±0.014, wider than the margin of 0.010. About 1,500 "
    "such patients would be needed to show non-inferiority of arms that do not differ, at 80 % "
    "power."
)


def write_comparison_file(folder, **options):
    """Write comparison.json into a folder, which is made, and return the folder."""
    return put(folder, make_comparison(**options))


def example(**options):
    """Return a comparison."""
    return typed(make_comparison(**options))


def typed(tree):
    """Return a tree as a comparison."""
    return Comparison.model_validate(tree)


def put(folder, tree):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "comparison.json").write_text(json.dumps(tree, ensure_ascii=False), "utf-8")
    return folder


def make_comparison(
    *,
    arms=("federated", "centralized", "local"),
    labels=CHEXPERT_LABELS,
    layout="chexpert",
    seeds=(0, 1, 2),
    clients=5,
    undefined=("Pleural Other",),
    seed=0,
    **changes,
):
    """Return the tree of comparison.json; `undefined` labels have no test positive.

    `changes` replace whole keys at the top.
    """
    rng = np.random.default_rng(seed)
    labels = tuple(labels)
    target = make_target(rng, labels, undefined)
    ease = rng.uniform(0.6, 1.6, len(labels))
    noise = rng.normal(0, 1, target.shape)
    made = [make_arm(rng, name, target, ease, noise, labels, seeds, clients) for name in arms]
    differences = [
        make_difference(rng, arm, made[1], labels)
        for arm in made
        if len(made) > 1 and arm is not made[1]
    ]
    tree = {
        "format": 4,
        "name": "20250301-102030-compare",
        "created": "2025-03-01T10:20:30+00:00",
        "fedcxr": "0.1.0",
        "data": make_data(labels, layout, clients),
        "training": make_training(seeds),
        **make_protocol(made, differences, labels, seeds),
        "statistics": {"level": 0.95, "margin": 0.01},
        "arms": made,
        "differences": differences,
        "site_matrix": make_matrix(rng, arms, clients, labels),
        "site_differences": [
            {
                "site_id": f"site-{number:02d}",
                "against": "local",
                "patients": 40 + number,
                "labels": list(labels[:2]),
                "about": "methods",
                "value": 0.02,
                "ci": [-0.05, 0.09],
                "reason": None,
            }
            for number in range(clients)
            if {"federated", "local"} <= set(arms)
        ],
        "label_frequencies": make_frequencies(rng, target, labels),
        "warnings": [],
        "notes": ["Labels of the synthetic data have no uncertain state."],
    }
    return {**tree, **changes}


def by_study(tree, scored=610):
    """Turn a comparison into one whose scores are by study."""
    tree["data"]["score_by"] = "study"
    for arm in tree["arms"]:
        arm["scored"] = scored
    return tree


def make_data(labels, layout, clients):
    return {
        "source": "synthetic",
        "layout": layout,
        "synthetic": True,
        "labels": list(labels),
        "test_images": IMAGES,
        "test_patients": PATIENTS,
        "val_images": 450,
        "val_patients": 190,
        "score_by": "image",
        "test_set": {
            "parts": [
                {
                    "origin": "drawn",
                    "source": layout,
                    "fraction": 0.2,
                    "patients": PATIENTS,
                    "of_patients": 5 * PATIENTS,
                }
            ],
            "left_out": [],
        },
        "partition": {
            "scheme": "dirichlet",
            "clients": clients,
            "digest": "b3" * 32,
            "pairs_compared": 66,
        },
    }


def make_protocol(arms, differences, labels, seeds):
    """All as planned: the endpoint is every label that has enough positives."""
    scores = arms[0]["by_label"]
    endpoint = {
        "primary_labels": [],
        "min_positives": 10,
        "patients": [
            {"label": k, "positives": scores[k]["positives"], "negatives": PATIENTS} for k in labels
        ],
        "labels": [label for label in labels if scores[label]["positives"] >= 10],
    }
    return {
        "protocol": {
            "created": "2025-03-01T10:20:31+00:00",
            "margin": 0.01,
            "endpoint": endpoint,
            "seeds": list(seeds),
            "learning_rates": [],
            "partition": "b3" * 32,
            "arms": [arm["name"] for arm in arms],
            "pairs": [[each["arm"], each["against"]] for each in differences],
            "level": 0.95,
        },
        "deviations": [],
        "endpoint": endpoint,
    }


def make_training(seeds):
    return {
        "seeds": list(seeds),
        "rounds": 8,
        "local_epochs": 1,
        "moments": "keep",
        "batch_size": 32,
        "learning_rate": 0.0003,
        "learning_rate_how": "fixed, the same in all arms",
        "model": "densenet_small",
        "image_size": 64,
        "precision": "bf16",
    }


def make_target(rng, labels, undefined):
    share = np.exp(rng.normal(-1.9, 0.7, len(labels))).clip(0.02, 0.5)
    target = (rng.random((IMAGES, len(labels))) < share).astype(float)
    for label in undefined:
        if label in labels:
            target[:, labels.index(label)] = 0
    return target


def make_arm(rng, name, target, ease, noise, labels, seeds, clients):
    skill = SKILL.get(name, 1.1) * ease * rng.uniform(0.93, 1.07, len(labels))
    # most of what makes an image hard is the same for all arms
    score = -1.6 + skill * target + 0.9 * noise + rng.normal(0, 0.44, target.shape)
    probs = 1 / (1 + np.exp(-score))
    by_label = {
        label: make_label(target[:, column], probs[:, column])
        for column, label in enumerate(labels)
    }
    macro = mean([found["auroc"]["value"] for found in by_label.values()])
    five = mean([by_label[label]["auroc"]["value"] for label in FIVE if label in by_label])
    by_seed = [macro + float(rng.normal(0, 0.006)) for _ in seeds]
    alone = name == "local"
    return {
        "name": name,
        "title": TITLES.get(name, name),
        "budget": "8 rounds of 1 local epoch, 40,320 images a seed",
        "models": len(seeds) * (clients if alone else 1),
        "images_seen": 40_320 * len(seeds),
        "steps": 1260 * len(seeds),
        "seconds": 74.2 * len(seeds),
        "bytes_up": 42_000_000 * len(seeds) if name == "federated" else 0,
        "bytes_down": 168_000_000 * len(seeds) if name == "federated" else 0,
        "scored": IMAGES,
        "macro_labels": sum(found["auroc"]["value"] is not None for found in by_label.values()),
        "macro_auroc": around(macro, 0.016),
        "macro_ap": around(mean([found["ap"]["value"] for found in by_label.values()]), 0.03),
        "five_auroc": None if five is None else around(five, 0.021),
        "seed_sd": float(np.std(by_seed, ddof=1)) if len(seeds) > 1 else None,
        "macro_by_seed": by_seed,
        "by_label": by_label,
        "curves": make_curves(target, probs, labels),
        "learning": make_learning(rng, SKILL.get(name, 1.1), seeds, clients if alone else 0),
        "operating_points": make_points(target, probs, labels),
        "calibration": make_calibration(rng, target, probs, labels),
        "decision_curves": make_decisions(by_label, rng),
        "subgroups": make_subgroups(rng, by_label, labels),
        "differs": {},
    }


def mean(values):
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def around(value, half):
    return {"value": value, "ci": [value - half, min(1.0, value + half)]}


def make_label(target, probs):
    positives = int(target.sum())
    counts = {"positives": positives, "negatives": len(target) - positives}
    if not positives:
        none = {"value": None, "ci": None, "reason": "no known positive"}
        return {"auroc": none, "ap": none, **counts}
    fpr, tpr = roc_points(target, probs)
    auroc = float(np.trapezoid(tpr, fpr))
    order = np.argsort(-probs)
    hits = np.cumsum(target[order])
    ap = float((hits / np.arange(1, len(hits) + 1))[target[order] == 1].mean())
    half = 0.45 / np.sqrt(positives)
    return {
        "auroc": {**around(auroc, half), "reason": None},
        "ap": {**around(ap, half), "reason": None},
        **counts,
    }


def make_curves(target, probs, labels):
    curves = {}
    for column, label in enumerate(labels):
        truth = target[:, column]
        if truth.any():
            fpr, tpr = roc_points(truth, probs[:, column], 80)
            order = np.argsort(-probs[:, column])
            hits = np.cumsum(truth[order])
            places = np.unique(np.linspace(4, len(hits) - 1, 80).astype(int))
            curves[label] = {
                "fpr": fpr.tolist(),
                **banded("tpr", tpr),
                "recall": (hits[places] / hits[-1]).tolist(),
                **banded("precision", hits[places] / (places + 1)),
            }
    return curves


def banded(name, height):
    """A curve, and where the lowest and highest of its models run."""
    low, high = (height - 0.01).clip(0, 1), (height + 0.01).clip(0, 1)
    parts = {name: height, f"{name}_low": low, f"{name}_high": high}
    return {key: part.tolist() for key, part in parts.items()}


def make_learning(rng, skill, seeds, sites):
    names = [f"site-{number:02d}" for number in range(sites)] or [None]
    rounds = np.arange(9)
    curves = []
    for seed in seeds:
        for site in names:
            grown = 1 - np.exp(-rounds * skill / 3)
            loss = 0.45 - 0.12 * grown * skill
            curves.append(
                {
                    "seed": seed,
                    "site": site,
                    "round": rounds.tolist(),
                    "train_loss": [None, *(loss + rng.normal(0, 0.004, 9)).tolist()[1:]],
                    "val_loss": (loss + 0.02 + rng.normal(0, 0.004, 9)).tolist(),
                    "val_macro_auroc": (
                        0.5 + 0.24 * grown * skill + rng.normal(0, 0.008, 9)
                    ).tolist(),
                    "val_accuracy": (0.8 + 0.06 * grown + rng.normal(0, 0.004, 9)).tolist(),
                }
            )
    return curves


def make_points(target, probs, labels):
    points = []
    for column, label in enumerate(labels):
        truth = target[:, column] == 1
        for name, level in zip(POINTS, (0.75, 0.5, 0.9), strict=True):
            if not truth.any():
                points.append(make_undefined_point(label, name))
                continue
            threshold = float(np.quantile(probs[:, column], level))
            points.append(make_point(label, name, truth, probs[:, column] >= threshold, threshold))
    return points


def make_undefined_point(label, name):
    none = {"value": None, "ci": None, "reason": None}
    told = {"label": label, "point": name, "threshold": None, "prevalence": 0.1}
    told["threshold_range"] = None
    counts = dict.fromkeys(("tp", "fp", "tn", "fn"))
    return {**told, **dict.fromkeys(RATES, none), **counts, "reason": "no positive on validation"}


def make_point(label, name, truth, said, threshold):
    tp, fn = int((truth & said).sum()), int((truth & ~said).sum())
    fp, tn = int((~truth & said).sum()), int((~truth & ~said).sum())
    rates = {
        "sensitivity": tp / (tp + fn),
        "specificity": tn / (tn + fp),
        "ppv": tp / (tp + fp),
        "npv": tn / (tn + fn),
        "ppv_at_prevalence": 0.6 * tp / (tp + fp),
        "f1": 2 * tp / (2 * tp + fp + fn),
    }
    found = {key: around(value, min(0.06, value)) for key, value in rates.items()}
    counts = {"tp": tp, "fn": fn, "fp": fp, "tn": tn}
    told = {"label": label, "point": name, "threshold": threshold, "prevalence": 0.1}
    told["threshold_range"] = [threshold - 0.01, threshold + 0.01]
    return {**told, **found, **counts, "reason": None}


def make_calibration(rng, target, probs, labels):
    by_label = {}
    for column, label in enumerate(labels):
        truth, given = target[:, column], probs[:, column] * 0.8
        order = np.array_split(np.argsort(given), 10)
        bins = [
            {
                "predicted": float(given[part].mean()),
                "observed": float(truth[part].mean()),
                "count": len(part),
                "ci": [
                    float(max(0, truth[part].mean() - 0.08)),
                    float(min(1, truth[part].mean() + 0.08)),
                ],
            }
            for part in order
        ]
        found = {
            "brier": (float(((given - truth) ** 2).mean()), 0.01),
            "ece": (0.041, 0.02),
            "slope": (float(rng.normal(0.8, 0.1)), 0.2),
            "intercept": (float(rng.normal(-0.4, 0.2)), 0.3),
        }
        numbers = {
            key: {"value": value, "ci": [value - half, value + half], "reason": None}
            for key, (value, half) in found.items()
        }
        lacking = {
            key: {"value": each["value"], "ci": None, "reason": "no interval: no known positive"}
            for key, each in numbers.items()
        }
        for key in ("slope", "intercept"):
            lacking[key] |= {"value": None, "reason": f"no {key}: no known positive"}
        defined = bool(truth.any())
        by_label[label] = {
            **(numbers if defined else lacking),
            "reason": None if defined else "no slope: no known positive",
            "bins": bins if defined else [],
            "tempered": numbers if defined else lacking,
        }
    spread = {"temperature": 1.21, "temperature_range": [1.15, 1.3]}
    return {**spread, "reason": None, "by_label": by_label}


def make_decisions(by_label, rng):
    found = {}
    for label, scores in by_label.items():
        share = scores["positives"] / IMAGES
        at = [0.02, 0.05, 0.1, 0.2]
        found[label] = {
            "at": at,
            "net_benefit": [around(max(0.0, 0.7 * share - 0.2 * pt * share), 0.01) for pt in at],
            "treat_all": [share - (1 - share) * pt / (1 - pt) for pt in at],
        }
    return found


def make_subgroups(rng, by_label, labels):
    rows = []
    few = {"value": None, "ci": None, "reason": "fewer than 10 positives"}
    for attribute, groups in GROUPS.items():
        for label in labels:
            value = by_label[label]["auroc"]["value"]
            for group in groups:
                images = IMAGES // len(groups)
                enough = value is not None and group != "80+"
                rows.append(
                    {
                        "attribute": attribute,
                        "group": group,
                        "label": label,
                        "images": images,
                        "patients": PATIENTS // len(groups),
                        "positives": by_label[label]["positives"] // len(groups),
                        "negatives": images // 2,
                        "auroc": around(value + rng.normal(0, 0.02), 0.06) if enough else few,
                        "tpr": around(0.7, 0.1) if enough else few,
                        "fpr": around(0.25, 0.05) if enough else few,
                        "auroc_gap": around(rng.normal(0, 0.02), 0.08) if enough else None,
                        "tpr_gap": around(rng.normal(0, 0.08), 0.15) if enough else None,
                        "fpr_gap": around(0.04, 0.06) if enough else None,
                        "reason": None,
                    }
                )
    rule = "Groups with fewer than 10 positives or 10 negatives of a label are left out."
    return {"rule": rule, "rows": rows}


def make_difference(rng, arm, against, labels):
    by_label = {}
    for label in labels:
        first = arm["by_label"][label]["auroc"]["value"]
        second = against["by_label"][label]["auroc"]["value"]
        if first is None:
            by_label[label] = {"value": None, "ci": None, "reason": "no known positive"}
            by_label[label] |= {"p": None, "p_holm": None, "word": None, "lower_bound": None}
            continue
        half = 0.5 / np.sqrt(arm["by_label"][label]["positives"])
        p = float(rng.uniform(0.01, 1))
        found = {"value": first - second, "ci": [first - second - half, first - second + half]}
        low = {"p": p, "p_holm": min(1.0, 5 * p), "word": "inconclusive", "lower_bound": None}
        by_label[label] = {**found, **low, "reason": None}
    value = arm["macro_auroc"]["value"] - against["macro_auroc"]["value"]
    word = "inferior" if value + 0.014 < -0.01 else "inconclusive"
    seeds = zip(arm["macro_by_seed"], against["macro_by_seed"], strict=True)
    return {
        "arm": arm["name"],
        "against": against["name"],
        "about": "methods" if len(arm["macro_by_seed"]) > 1 else "models",
        "macro_auroc_models": {"value": value, "ci": [value - 0.009, value + 0.009]},
        "variance": {"patients": 2e-5, "patients_df": 60.0, "trainings": 2e-5, "seeds": 3},
        "macro_auroc": {"value": value, "ci": [value - 0.014, value + 0.014], "reason": None},
        "macro_ap": {"value": value / 2, "ci": [value / 2 - 0.02, value / 2 + 0.02]},
        "five_auroc": {"value": value, "ci": [value - 0.018, value + 0.018]},
        "by_label": by_label,
        "verdict": {"word": word, "reason": "the interval and the margin say so"},
        "power": TOO_SMALL if word == "inconclusive" else None,
        "worse_labels": [],
        "inferior_labels": [],
        "by_seed": [first - second for first, second in seeds],
        "details": make_difference_details(labels, arm),
    }


def make_difference_details(labels, arm):
    score = around(0.01, 0.02)
    rates = dict.fromkeys(RATES, score)
    three = dict.fromkeys(("brier", "slope", "intercept"), score)
    groups = ("auroc", "tpr", "fpr", "auroc_gap", "tpr_gap", "fpr_gap")
    return {
        "operating_points": [
            {"label": label, "point": point, **rates} for label in labels for point in POINTS
        ],
        "calibration": {label: {**three, "tempered": three} for label in labels},
        "decision_curves": {
            label: {"at": curve["at"], "net_benefit": [score] * len(curve["at"])}
            for label, curve in arm["decision_curves"].items()
        },
        "subgroups": [
            {
                **{key: row[key] for key in ("attribute", "group", "label")},
                **dict.fromkeys(groups, score),
            }
            for row in arm["subgroups"]["rows"]
        ],
    }


def make_matrix(rng, arms, clients, labels):
    sites = [f"site-{number:02d}" for number in range(clients)]
    models = [*(name for name in arms if name != "local"), *(f"local {site}" for site in sites)]
    scores = rng.uniform(0.66, 0.84, (clients, len(models)))
    worst = {
        model: {"site_id": sites[row], "value": float(scores[row, column])}
        for column, model in enumerate(models)
        for row in [int(scores[:, column].argmin())]
    }
    return {
        "sites": [
            {"site_id": site, "images": 40 + 30 * number, "patients": 20 + 11 * number}
            for number, site in enumerate(sites)
        ],
        "models": models,
        "macro_auroc": scores.tolist(),
        "labels": [[len(labels) - 1] * len(models) for _ in sites],
        "worst": worst,
    }


def make_frequencies(rng, target, labels):
    found = {}
    for column, label in enumerate(labels):
        test = int(target[:, column].sum())
        found[label] = {
            "train": [int(5 * test * rng.uniform(0.9, 1.1)), 5 * IMAGES],
            "val": [test // 2, IMAGES // 2],
            "test": [test, IMAGES],
        }
    return found
