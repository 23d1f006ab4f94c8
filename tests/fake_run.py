"""A run folder made up from whole cloth, with numbers that hang together."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from fedcxr.config import ExperimentConfig, to_yaml
from fedcxr.data.labels import CHEXPERT_LABELS
from fedcxr.data.origin import DrawnPart, TestSet
from fedcxr.metrics.run_scores import score_run
from fedcxr.runs.predictions import Predictions, write_predictions

TESTED_PATIENTS = 160
NO_HITS = {"hit_rate": {}, "center_hit_rate": None, "num_findings": 0}


def write_run(
    folder: Path,
    *,
    labels=CHEXPERT_LABELS,
    num_sites=5,
    rounds=8,
    gradcam=True,
    finished=True,
    intervals=True,
    undefined=("Pleural Other",),
    seed=0,
):
    """Write a run and return its folder; `undefined` labels have no test positive."""
    rng = np.random.default_rng(seed)
    labels = tuple(labels)
    folder.mkdir(parents=True, exist_ok=True)
    plan = make_plan(rng, labels, num_sites)
    put_json(folder / "partition" / "plan.json", plan)
    put_json(
        folder / "manifest.json",
        make_manifest(folder.name, labels, finished=finished, pairs=plan["proof"]["pairs_checked"]),
    )
    (folder / "config.yaml").write_text(to_yaml(ExperimentConfig()), "utf-8")
    lines = make_rounds(rng, labels, plan, rounds)
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "rounds.jsonl").write_text(text, "utf-8")
    if finished:
        summary = make_summary(rng, folder, labels, plan, undefined, intervals)
        summary["best_round"] = max(lines[1:], key=lambda line: line["val_macro_auroc"])["round"]
        summary["num_rounds"] = rounds
        if gradcam:
            summary["heat_maps"] = make_heat_maps(rng, folder, labels)
        put_json(folder / "summary.json", summary)
    return folder


def change(path: Path, **fields):
    """Overwrite some fields of a JSON file."""
    put_json(path, {**json.loads(path.read_text("utf-8")), **fields})


def put_json(path: Path, tree):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(tree, indent=1, ensure_ascii=False), "utf-8")


def make_counts(rng, labels, images):
    share = np.exp(rng.normal(-2.3, 0.8, len(labels))).clip(0.002, 0.6)
    counts = {}
    for label, part in zip(labels, share, strict=True):
        positive = int(images * part)
        uncertain = int(images * 0.04)
        blank = (images - positive - uncertain) // 2
        negative = images - positive - uncertain - blank
        counts[label] = {
            "positive": positive,
            "negative": negative,
            "uncertain": uncertain,
            "blank": blank,
            "masked": 0,
        }
    return counts


def make_plan(rng, labels, num_sites):
    sites = []
    for number in range(num_sites):
        images = int(rng.integers(120, 700))
        sites.append(
            {
                "site_id": f"site-{number:02d}",
                "patients": images * 2 // 3,
                "images": images,
                "train_images": images - images // 10,
                "val_images": images // 10,
                "label_counts": make_counts(rng, labels, images),
            }
        )
    parts = {
        name: {
            "patients": images * 2 // 3,
            "images": images,
            "label_counts": make_counts(rng, labels, images),
        }
        for name, images in (("val", 190), ("test", 380))
    }
    names = [f"{s['site_id']}/{split}" for s in sites for split in ("train", "val")]
    pairs = len(names) * (len(names) + 3) // 2 + 1
    return {
        "format": 1,
        "layout": "chexpert",
        "source": "synthetic",
        "labels": list(labels),
        "scheme": "dirichlet",
        "parameters": {"alpha": 0.5},
        "seed": 0,
        "global": parts,
        "sites": sites,
        "proof": {"disjoint": True, "pairs_checked": pairs, "sets": names},
    }


def make_manifest(name, labels, *, finished, pairs):
    return {
        "fedcxr": "0.1.0",
        "run": name,
        "status": "finished" if finished else "interrupted",
        "created": "2025-03-01T10:20:30+00:00",
        "command": ["fedcxr", "simulate", "--clients", "5"],
        "versions": {"python": "3.11.9", "torch": "2.12.1", "flwr": "1.41.0", "numpy": "2.4.6"},
        "machine": {"cores": 2, "processor": "x86_64"},
        "code_digest": "5f" * 32,
        "config_digest": "0a" * 32,
        "partition_digest": "b3" * 32,
        "disjoint": {"verified": True, "pairs_checked": pairs, "reason": None},
        "cache_digest": "77" * 32,
        "seed": 0,
        "engine": "local",
        "workers": 2,
        "threads_per_client": 1,
        "precision": {"dtype": "bf16", "channels_last": True, "why": "fastest of 4 pairs probed"},
        "labels": list(labels),
        "views": "frontal",
        "score_by": "image",
        "uncertain": {"all": "ignore"},
        "blank": {"all": "zeros"},
        "smoothed": None,
        "self_train_after": None,
        "label_counts": make_label_counts(labels),
        "normalization": {"kind": "preset", "mean": 0.449, "std": 0.226},
        "batch_norm": "average",
        "codec": "int8",
        "topk": None,
        "data": {
            "layout": "chexpert",
            "source": "synthetic",
            "notes": ["Computed images in the layout of CheXpert; no radiograph of a person."],
            "test_set": TestSet((DrawnPart("chexpert", 0.2, 160, 800),)).to_json(),
            "bad_images": 0,
        },
    }


def make_label_counts(labels):
    before = {"positive": 40, "negative": 11, "uncertain": 23, "blank": 7, "masked": 0}
    after = {"positive": 40, "negative": 18, "soft": 0, "uncertain_class": 0, "unknown": 23}
    return {
        "of": "the sites' training images",
        "images": 81,
        "before": dict.fromkeys(labels, before),
        "after": dict.fromkeys(labels, after),
        "reason": None,
    }


def make_rounds(rng, labels, plan, rounds):
    lines = []
    for number in range(rounds + 1):
        skill = 1 - np.exp(-number / 3)
        sites = [
            {
                "site_id": site["site_id"],
                "num_examples": site["train_images"],
                "train_loss": float(0.42 - 0.16 * skill + rng.normal(0, 0.015)),
                "seconds": 1.1,
            }
            for site in plan["sites"]
        ]
        macro = float(0.5 + 0.33 * skill + rng.normal(0, 0.008))
        line = {
            "round": number,
            "train_loss": None,
            "val_loss": float(0.45 - 0.15 * skill + rng.normal(0, 0.005)),
            "val_macro_auroc": macro,
            "val_accuracy": 0.8,
            "val_auroc": dict.fromkeys(labels, macro),
            "sites": [],
            "refused": [],
            "missing": [],
            "seconds": 6.4,
            "seconds_train": 5.1,
            "seconds_evaluate": 0.9,
            "images": 0,
            "images_per_second": None,
            "bytes_down": 0,
            "bytes_up": 0,
            "parameters_sha256": "cd" * 32,
        }
        if number:
            losses = [site["train_loss"] for site in sites]
            images = sum(site["num_examples"] for site in sites)
            line |= {"sites": sites, "train_loss": float(np.mean(losses)), "images": images}
            line |= {"images_per_second": images / 5.1}
            line |= {"bytes_down": 4_206_172, "bytes_up": 1_054_021}
        lines.append(line)
    if rounds >= 4 and len(plan["sites"]) > 2:
        lost = lines[3]["sites"].pop()
        lines[3]["missing"] = [{"site_id": lost["site_id"], "reason": "no answer in 60 s"}]
        lost = lines[4]["sites"].pop()
        lines[4]["refused"] = [{"site_id": lost["site_id"], "reason": "update is not finite"}]
    return lines


def make_predictions(rng, labels, undefined):
    per_patient = rng.integers(1, 5, TESTED_PATIENTS)
    patient = np.repeat(np.arange(TESTED_PATIENTS), per_patient)
    share = np.exp(rng.normal(-2.0, 0.8, len(labels))).clip(0.02, 0.6)
    truth = rng.random((TESTED_PATIENTS, len(labels))) < share
    target = truth[patient].astype(np.float32)
    for label in undefined:
        if label in labels:
            target[:, labels.index(label)] = 0
    gap = rng.uniform(0.6, 2.2, len(labels))
    logit = -2 + gap * target + rng.normal(0, 1, target.shape)
    probs = (1 / (1 + np.exp(-logit))).astype(np.float32)
    target[rng.random(target.shape) < 0.03] = np.nan
    return patient, target, probs


def make_summary(rng, folder, labels, plan, undefined, intervals):
    patient, target, probs = make_predictions(rng, labels, undefined)
    tokens = np.array([f"{number:016x}" for number in patient])
    images = np.array([f"{number:016x}" for number in range(len(patient))])
    attributes = {
        "sex": np.where(patient % 2, "F", "M"),
        "age": (20 + 70 * patient / TESTED_PATIENTS).astype(np.float32),
        "view": np.full(len(patient), "frontal"),
        "projection": np.where(np.arange(len(patient)) % 3, "AP", "PA"),
    }
    found = Predictions(labels, probs, target, images, tokens, tokens, attributes)
    write_predictions(folder / "predictions.npz", {"test": found, "val": found}, "image")
    result = score_run(target, probs, labels, tokens)
    scores = {
        s.label: {
            "value": s.value,
            "ci": s.ci if intervals else None,
            "positives": s.positives,
            "negatives": s.negatives,
            "reason": s.reason,
        }
        for s in result.scores
    }
    return {
        "run": folder.name,
        "macro_auroc": result.macro,
        "macro_auroc_ci": result.macro_ci if intervals else None,
        "macro_auroc_reason": result.macro_reason
        if intervals
        else "no interval: the test set is too small",
        "macro_labels": result.macro_labels,
        "auroc": scores,
        "few_positives": [s.label for s in result.scores if s.positives < 10],
        "score_by": "image",
        "stopped_early": None,
        "test_images": len(patient),
        "test_patients": TESTED_PATIENTS,
        "sites": plan["sites"],
        "site_scores": [],
        "participation": {},
        "refused_rounds": [],
        "collapsed_labels": [],
        "seconds": 78.4,
        "phases": {"prepare": 9.2, "train": 51.0, "evaluate": 6.1, "explain": 7.9, "report": 1.4},
        "train_images_per_second": 412.0,
        "heat_maps": {**NO_HITS, "files": [], "by_label": {}, "methods": {}, "left_out": {}},
        "parameters_sha256": "cd" * 32,
    }


def make_heat_maps(rng, folder, labels):
    (folder / "gradcam").mkdir(exist_ok=True)
    files = []
    outcomes = ("true positive", "false positive", "miss")
    for number in range(12):
        label = labels[(number // 3) % len(labels)]
        outcome = outcomes[number % 3]
        file = f"gradcam/{number + 1:02d}-{outcome.replace(' ', '-')}.png"
        Image.fromarray(make_overlay(rng)).save(folder / file)
        files.append(
            {
                "file": file,
                "label": label,
                "probability": float(rng.uniform(0.5, 1) if number % 3 < 2 else 0.1),
                "truth": 0 if outcome == "false positive" else 1,
                "outcome": outcome,
            }
        )
    by_label = {
        label: {
            "hit_rate": {"gradcam": 0.62, "cam": 0.31},
            "center_hit_rate": 0.2,
            "num_findings": 40 - place,
        }
        for place, label in enumerate(labels)
    }
    return {
        "files": files,
        "hit_rate": {"gradcam": 0.614, "cam": 0.307},
        "center_hit_rate": 0.213,
        "num_findings": 214,
        "methods": {
            "gradcam": {"title": "Grad-CAM", "cells": [8, 8]},
            "cam": {"title": "CAM", "cells": [2, 2]},
        },
        "left_out": {},
        "by_label": by_label,
    }


def make_overlay(rng):
    y, x = np.mgrid[0:160, 0:160] / 160
    heat = np.exp(-(((x - rng.uniform(0.2, 0.8)) ** 2 + (y - 0.5) ** 2) / 0.02))
    lungs = np.exp(-(((abs(x - 0.5) - 0.2) / 0.13) ** 2 + ((y - 0.5) / 0.33) ** 2))
    grey = 0.65 - 0.5 * lungs
    red = np.clip(grey + heat * 0.6, 0, 1)
    film = np.stack([grey] * 3, axis=2)
    warm = np.stack([red, grey, grey * (1 - heat * 0.5)], axis=2)
    return (np.concatenate([film, warm], axis=1) * 255).astype(np.uint8)
