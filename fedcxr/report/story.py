"""What the run was, in words: the plain sentences and the facts at the top of the page."""

from collections.abc import Sequence

from fedcxr.report.read_run import RunView, Tree
from fedcxr.report.rendering import Fact
from fedcxr.report.tables import LabelRow, policy_for
from fedcxr.report.training_words import algorithm_title, batch_norm_words, training_facts
from fedcxr.report.wording import (
    MISSING,
    as_number,
    count,
    counted,
    duration,
    fixed,
    interval,
    size,
)

_FEW_PATIENTS = 30

_STATUS = {
    "running": "is still running, or was killed",
    "interrupted": "was interrupted",
    "failed": "failed",
}


def title(view: RunView) -> str:
    """Return the name of the run."""
    return str(view.manifest.get("run") or view.path.name)


def sentence(view: RunView) -> str:
    """Return in plain words what was trained by whom, and on whom it was judged."""
    model = view.config.model.name if view.config else "one model"
    sites = counted(len(view.sites), "site", "sites") if view.sites else "The sites"
    whose = "on its own patients" if len(view.sites) == 1 else "each on patients of its own"
    text = f"{sites} trained {model} by {algorithm_title(view)}, {whose}. "
    if view.summary is None:
        return text + _unfinished(view)
    rounds = counted(view.summary.get("num_rounds"), "round", "rounds")
    best = view.summary.get("best_round")
    text += f"After {rounds} "
    if best is not None:
        text += f"the server chose the model of round {best} on its validation patients and "
    else:
        text += "the server "
    return text + f"judged it once on {judged_on(view.summary)} who are at no site."


def judged_on(summary: Tree) -> str:
    """Return the size of the test set with its nouns."""
    images = counted(summary.get("test_images"), "image", "images")
    patients = counted(summary.get("test_patients"), "patient", "patients")
    by_study = " (a study's score is the maximum over its views)"
    return f"{images} of {patients}" + (by_study if summary.get("score_by") == "study" else "")


def state(view: RunView) -> str | None:
    """Return what keeps this run from being complete, None if nothing does."""
    if view.summary is not None:
        return None
    status = str(view.manifest.get("status"))
    return f"This run {_STATUS.get(status, 'is not finished')}."


def headline_facts(view: RunView) -> list[Fact]:
    """Return the figures beside the headline number."""
    summary = view.summary or {}
    disjoint = view.manifest.get("disjoint") or {}
    pairs = disjoint.get("pairs_checked")
    rounds = summary.get("num_rounds", sum(1 for line in view.rounds if line.get("round")))
    return [
        Fact("Test set", count(summary.get("test_images")), _patients(summary)),
        Fact("Labels counted", _labels_counted(summary), "in the macro mean"),
        Fact("Rounds", count(rounds), _best_round(view, summary)),
        Fact("Sites", count(len(view.sites)) if view.sites else MISSING, _scheme(view.plan)),
        Fact("Time", duration(summary.get("seconds")), _speed(summary)),
        Fact(
            "Patients apart",
            _proof(disjoint.get("verified")),
            disjoint.get("reason")
            or (f"{counted(pairs, 'pair', 'pairs')} of sets compared" if pairs else ""),
        ),
    ]


def setting_facts(view: RunView) -> list[Fact]:
    """Return how the data were read and the model trained."""
    manifest = view.manifest
    data = manifest.get("data") or {}
    precision = manifest.get("precision") or {}
    facts = [
        Fact("Data", _data(data)),
        Fact("Model", _model(view)),
        Fact("Views", str(manifest.get("views") or MISSING)),
        Fact("AUROC counts", {"study": "studies", "image": "images"}.get(_score_by(view), MISSING)),
        Fact("Uncertain labels", _policy(manifest.get("uncertain"))),
        Fact("Blank labels", _policy(manifest.get("blank"))),
        Fact("Normalisation", _normalization(manifest.get("normalization") or {})),
        *training_facts(view),
        Fact("Batch norm", *batch_norm_words(view)),
        Fact("Update codec", _codec(manifest)),
        Fact("Engine", _engine(manifest)),
        Fact("Precision", str(precision.get("dtype") or MISSING), str(precision.get("why") or "")),
        Fact("Seed", str(manifest.get("seed", MISSING))),
    ]
    bad = as_number(data.get("bad_images"))
    if bad:
        facts.append(Fact("Unreadable images", count(bad), "left out by name"))
    return facts


def policy_notes(manifest: Tree) -> list[str]:
    """Return what to know of the label counts before and after the policies."""
    counts = manifest.get("label_counts") or {}
    images = counted(counts.get("images"), "image", "images")
    found = [f"Counted over {counts.get('of') or 'the sites'}: {images}."]
    if counts.get("reason"):
        found.append(f"No targets are counted: {counts['reason']}.")
    smoothed = manifest.get("smoothed")
    if smoothed:
        found.append(f"smoothed: a random value from {interval(smoothed, 2)}, drawn once.")
    after = manifest.get("self_train_after")
    if after is not None:
        found.append(
            f"self_trained: unknown for {counted(after, 'round', 'rounds')}, then soft, as the "
            f"model of that time predicts them; the counts are those of the first round."
        )
    labels = manifest.get("labels") or ()
    if "No Finding" in labels and policy_for(manifest.get("blank"), "No Finding") == "ignore":
        found.append("No Finding: a blank one is 0 where another finding is positive.")
    found.append("Uncertain labels are never scored: these are the targets of training.")
    return found


def cautions(summary: Tree, rows: Sequence[LabelRow]) -> list[str]:
    """Return what the intervals of this run cannot show."""
    found = []
    patients = as_number(summary.get("test_patients"))
    if summary.get("macro_auroc_ci") and patients is not None and patients < _FEW_PATIENTS:
        found.append(
            f"The test set has {counted(patients, 'patient', 'patients')}: intervals from so few "
            f"are rough, and more likely too narrow than too wide."
        )
    without = sum(1 for row in rows if row.value is not None and row.ci is None)
    if summary.get("macro_auroc_ci") and without:
        found.append(
            f"{counted(without, 'label has', 'labels have')} a value but no interval; the interval "
            f"of the macro mean does not hold the uncertainty of such labels."
        )
    return found


def speed_facts(view: RunView) -> list[Fact]:
    """Return times and traffic of a round, as means over the rounds."""
    trained = [line for line in view.rounds if line.get("round")]

    def mean(key: str) -> float | None:
        found = [value for line in trained if (value := as_number(line.get(key))) is not None]
        return sum(found) / len(found) if found else None

    speed = (view.summary or {}).get("train_images_per_second")
    return [
        Fact("Training speed", f"{fixed(speed, 0)} images/s" if speed else MISSING, "all sites"),
        Fact("A round", duration(mean("seconds")), "mean"),
        Fact("of it training", duration(mean("seconds_train")), "mean"),
        Fact("of it evaluation", duration(mean("seconds_evaluate")), "mean"),
        Fact("Sent a round", size(mean("bytes_down")), "parameters to the sites, mean"),
        Fact("Received a round", size(mean("bytes_up")), "from the sites, mean"),
    ]


def _unfinished(view: RunView) -> str:
    done = max((int(line["round"]) for line in view.rounds), default=0)
    planned = _planned(view)
    return (
        f"{done}{planned} rounds are done and there is no test result yet. "
        f"Go on with: fedcxr resume {view.path.name}"
    )


def _best_round(view: RunView, summary: Tree) -> str:
    """Return which round was the best, and whether the run ended before all rounds were done."""
    best = summary.get("best_round")
    said = [f"best: round {best}"] if best is not None else []
    early = summary.get("stopped_early")
    if early:
        without = counted(early.get("stop_after"), "round", "rounds")
        said.append(f"stopped early{_planned(view)}, after {without} without a better one")
    return "; ".join(said)


def _planned(view: RunView) -> str:
    return f" of {view.config.server.rounds}" if view.config else ""


def _proof(holds: object) -> str:
    if holds is None:
        return MISSING
    return "proven" if holds is True else "not verifiable"


def _patients(summary: Tree) -> str:
    patients = summary.get("test_patients")
    return f"images of {counted(patients, 'patient', 'patients')}" if patients is not None else ""


def _labels_counted(summary: Tree) -> str:
    if summary.get("macro_labels") is None:
        return MISSING
    return f"{summary['macro_labels']} of {len(summary.get('auroc') or ())}"


def _scheme(plan: Tree) -> str:
    told = {"alpha": "α = {}", "exponent": "exponent {}", "attribute": "{}", "folds": "{} folds"}
    found = plan.get("parameters") or {}
    words = [words.format(found[name]) for name, words in told.items() if name in found]
    return ", ".join([str(plan.get("scheme") or ""), *words])


def _speed(summary: Tree) -> str:
    speed = as_number(summary.get("train_images_per_second"))
    return "" if speed is None else f"training at {speed:,.0f} images/s"


def _score_by(view: RunView) -> str:
    return str((view.summary or {}).get("score_by") or view.manifest.get("score_by"))


def _data(data: Tree) -> str:
    source = str(data.get("source") or MISSING)
    layout = data.get("layout")
    return f"{source}, in the layout of {layout}" if layout and layout != source else source


def _model(view: RunView) -> str:
    if view.config is None:
        return MISSING
    model = view.config.model
    return f"{model.name}, {model.image_size} px, weights: {model.weights}"


def _engine(manifest: Tree) -> str:
    parts = [str(manifest.get("engine") or MISSING)]
    if manifest.get("workers") is not None:
        parts.append(counted(manifest["workers"], "worker", "workers"))
    if manifest.get("threads_per_client") is not None:
        threads = manifest["threads_per_client"]
        parts.append(f"{counted(threads, 'thread', 'threads')} a client")
    return ", ".join(parts)


def _codec(manifest: Tree) -> str:
    share = as_number(manifest.get("topk"))
    name = str(manifest.get("codec") or MISSING)
    return name if share is None else f"{name}, {100 * share:g} % of the weights"


def _policy(value: object) -> str:
    """Return a policy: a name, or a mapping of `all` and of the labels that differ."""
    if not isinstance(value, dict):
        return str(value or MISSING)
    others = [f"{key}: {item}" for key, item in value.items() if key != "all"]
    return ", ".join([str(value["all"])] * ("all" in value) + others) or MISSING


def _normalization(tree: Tree) -> str:
    kind = str(tree.get("kind") or MISSING)
    mean, std = as_number(tree.get("mean")), as_number(tree.get("std"))
    if mean is None or std is None:
        return kind
    return f"{kind}: mean {mean:.3f}, standard deviation {std:.3f}"
