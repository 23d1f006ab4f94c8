"""What was fixed before training and what is otherwise now, and which labels the verdict is about.

For the page and for the command line alike.
"""

from typing import Any

from fedcxr.report.wording import as_sentence, count, joined
from fedcxr.results.comparison import Comparison
from fedcxr.results.frozen import Deviation, Endpoint, LabelPatients

NONE_FROZEN = (
    "No protocol was frozen before this comparison's training: nothing shows that its margin, "
    "labels and seeds were chosen before its results were seen."
)

_NAMES = {
    "primary_labels": "primary labels",
    "min_positives": "patients that a label needs",
    "labels": "labels of the endpoint",
    "learning_rates": "learning rates tried",
    "pairs": "pairs compared",
    "correction": "correction over labels",
    "folds": "folds of the cross-validation",
    "further_partitions": "further partitions",
    "external": "data from elsewhere",
    "external_digests": "digests of data from elsewhere",
    "external_labels": "labels on data from elsewhere",
}
"""Of what a protocol fixes, where the key is no word of its own."""

_NOTHING = {"primary_labels": "all", "learning_rates": "the configured one"}
"""What an empty list stands for."""

_DIGESTS = ("partition", "further_partitions", "external_digests")
_DIGEST = 12
"""Signs of a digest that are shown."""


def deviation_sentence(deviation: Deviation) -> str:
    """Return what is otherwise than the protocol says.

    >>> deviation_sentence(Deviation(key="margin", planned=0.01, now=0.03))
    'Deviation from the protocol: margin 0.01 → 0.03, changed after training began.'
    """
    key = deviation.key
    planned, now = (_value(key, value) for value in (deviation.planned, deviation.now))
    return (
        f"Deviation from the protocol: {_NAMES.get(key, key)} {planned} → {now}, changed after "
        "training began."
    )


def protocol_sentences(comparison: Comparison) -> list[str]:
    """Return every deviation, or that no protocol was frozen; nothing where all is as planned."""
    if comparison.endpoint is None:
        return []
    if comparison.protocol is None:
        return [NONE_FROZEN]
    return [deviation_sentence(each) for each in comparison.deviations]


def fixed_sentence(comparison: Comparison) -> str:
    """Return what was fixed before training, and where it stands."""
    protocol = comparison.protocol
    if protocol is None:
        return NONE_FROZEN
    but = "; what is otherwise now stands at the top" if comparison.deviations else ""
    return (
        "Margin, endpoint and its labels, seeds, partition, arms and the order of their pairs, the "
        "correction over labels and the level were fixed before the first training, on "
        f"{protocol.created} (protocol.json, digest {protocol.digest[:_DIGEST]}){but}."
    )


def margin_words(comparison: Comparison) -> str:
    """Return whether the margin was fixed beforehand."""
    if comparison.protocol is None:
        return "no protocol was frozen"
    if any(each.key == "margin" for each in comparison.deviations):
        return f"changed: {comparison.protocol.margin:g} was planned"
    return "fixed beforehand"


def endpoint_sentences(comparison: Comparison) -> list[str]:
    """Return over which labels the means and the verdict are, and which are left out and why."""
    endpoint, of = comparison.endpoint, len(comparison.data.labels)
    if endpoint is None:
        return []
    over = endpoint.means_over
    if not endpoint.labels:
        return [
            f"The means are over {_of(len(over), of)}: {joined(over)}. "
            f"{as_sentence(none_eligible(endpoint))}"
        ]
    found = [f"The endpoint is the macro AUROC over {_of(len(over), of)}: {joined(over)}."]
    if endpoint.folds:
        where = f"each of {endpoint.folds} folds of a cross-validation"
        found.append(f"It is computed within {where}, and averaged over them.")
    if endpoint.left_out:
        changed = {each.key for each in comparison.deviations}
        were_fixed = comparison.protocol is not None and "labels" not in changed
        when = " before training" if were_fixed else ""
        told = _all_left_out(endpoint)
        found.append(f"Left out of it, by a count of {_whom(endpoint)}{when}: {told}.")
    return found


def left_out_words(label: LabelPatients, needed: int) -> str:
    """Return why a label is not in the endpoint.

    >>> left_out_words(LabelPatients(label="Lung Lesion", positives=1, negatives=199), 10)
    'Lung Lesion: 1 patient has it; 10 are needed'
    >>> left_out_words(LabelPatients(label="Edema", positives=9, negatives=0), 10)
    'Edema: 9 patients have it and none lacks it; 10 are needed'
    """
    told = []
    if label.positives < needed:
        told.append(_patients(label.positives, "has it", "have it"))
    if label.negatives < needed:
        told.append(_patients(label.negatives, "lacks it", "lack it", "" if told else " patient"))
    return f"{label.label}: {' and '.join(told)}; {count(needed)} are needed"


def none_eligible(endpoint: Endpoint) -> str:
    """Return why there is no verdict where every label has too few patients."""
    where = f"in each of {endpoint.folds} folds" if endpoint.folds else "in the test set"
    return f"no label has patients enough {where}: {_all_left_out(endpoint)}"


def _whom(endpoint: Endpoint) -> str:
    """Return whose counts decide which labels are in the endpoint."""
    if endpoint.folds is None:
        return "test patients"
    return f"test patients in the one of {endpoint.folds} folds that has fewest"


def _all_left_out(endpoint: Endpoint) -> str:
    return ". ".join(left_out_words(each, endpoint.min_positives) for each in endpoint.left_out)


def _patients(number: int, one: str, many: str, noun: str = " patient") -> str:
    """Return "no patient has it", "1 patient has it", "2 patients have it"."""
    if not number:
        return f"{'no' if noun else 'none'}{noun} {one}"
    return f"1{noun} {one}" if number == 1 else f"{count(number)}{noun and f'{noun}s'} {many}"


def _of(some: int, whole: int) -> str:
    """Return how many of the labels."""
    if some < whole:
        return f"{some} of {whole} labels"
    return f"all {whole} labels" if whole > 1 else "the one label"


def _value(key: str, value: Any) -> str:  # noqa: ANN401  # as JSON holds it
    """Return one value of a protocol."""
    if not isinstance(value, list):
        return _plain(key, value)
    parts = [" minus ".join(map(str, v)) if isinstance(v, list) else _plain(key, v) for v in value]
    return ", ".join(parts) or _NOTHING.get(key, "none")


def _plain(key: str, value: Any) -> str:  # noqa: ANN401  # as JSON holds it
    if value is None:
        return "none"
    if key in _DIGESTS:
        return str(value)[:_DIGEST]
    return f"{value:g}" if isinstance(value, int | float) else str(value)
