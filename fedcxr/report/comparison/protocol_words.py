"""What was fixed before training and what is otherwise now, and which labels the verdict is about.

The facts are in comparison.json (`protocol`, `deviations`, `endpoint`); here they become sentences,
for the page and for the command line alike.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from fedcxr.report.comparison.wording import joined
from fedcxr.report.wording import as_number, count

Tree = Mapping[str, Any]

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
    "further_partitions": "further partitions",
    "external": "data from elsewhere",
    "external_digests": "digests of data from elsewhere",
    "external_labels": "labels on data from elsewhere",
}
"""Of what a protocol fixes, where the key is no word of its own."""

_NOTHING = {"primary_labels": "all", "learning_rates": "the configured one"}
"""What an empty list stands for."""

_DIGESTS = ("further_partitions", "external_digests")
_DIGEST = 12
"""Signs of a digest that are shown."""


def deviation_sentences(tree: Tree) -> list[str]:
    """Return a sentence for each thing that is otherwise than its protocol says.

    Args:
        tree: of comparison.json.

    >>> told = {"key": "margin", "planned": 0.01, "now": 0.03}
    >>> deviation_sentences({"deviations": [told]})
    ['Deviation from the protocol: margin 0.01 → 0.03, changed after training began.']
    """
    found = []
    for each in tree.get("deviations") or ():
        key = str(each.get("key"))
        planned, now = (_value(key, each.get(when)) for when in ("planned", "now"))
        found.append(
            f"Deviation from the protocol: {_NAMES.get(key, key)} {planned} → {now}, changed after "
            "training began."
        )
    return found


def protocol_sentences(tree: Tree) -> list[str]:
    """Return every deviation, or that no protocol was frozen; nothing where all is as planned."""
    return deviation_sentences(tree) if tree.get("protocol") else [NONE_FROZEN]


def fixed_sentence(tree: Tree) -> str:
    """Return what was fixed before training, and where it stands."""
    protocol = tree.get("protocol")
    if not protocol:
        return NONE_FROZEN
    but = "; what is otherwise now stands at the top" if tree.get("deviations") else ""
    return (
        "Margin, endpoint and its labels, seeds, partition, arms and the order of their pairs, the "
        "correction over labels, level and resamples were fixed before the first training, on "
        f"{protocol.get('created')} (protocol.json, digest {_short(protocol.get('digest'))}){but}."
    )


def margin_words(tree: Tree) -> str:
    """Return whether the margin was fixed beforehand.

    >>> margin_words({"protocol": {"margin": 0.01}})
    'fixed beforehand'
    >>> margin_words({})
    'no protocol was frozen'
    """
    protocol = tree.get("protocol")
    if not protocol:
        return "no protocol was frozen"
    changed = any(each.get("key") == "margin" for each in tree.get("deviations") or ())
    return (
        f"changed: {_number(protocol.get('margin'))} was planned" if changed else "fixed beforehand"
    )


def endpoint_sentences(tree: Tree) -> list[str]:
    """Return over which labels the means and the verdict are, and which are left out and why."""
    endpoint = tree.get("endpoint") or {}
    over, left_out = endpoint.get("means_over") or (), endpoint.get("left_out") or ()
    if not over:
        return []
    of = len((tree.get("data") or {}).get("labels") or over)
    if not endpoint.get("labels"):
        return [
            f"The means are over {_of(len(over), of)}: {joined(over)}. "
            f"{_sentence(none_eligible(left_out, endpoint.get('min_positives')))}"
        ]
    found = [f"The endpoint is the macro AUROC over {_of(len(over), of)}: {joined(over)}."]
    if left_out:
        needed = endpoint.get("min_positives")
        told = ". ".join(left_out_words(each, needed) for each in left_out)
        when = " before training" if _labels_were_fixed(tree) else ""
        found.append(f"Left out of it, by a count of test patients{when}: {told}.")
    return found


def left_out_words(label: Tree, needed: object) -> str:
    """Return why a label is not in the endpoint.

    >>> left_out_words({"label": "Lung Lesion", "positives": 1, "negatives": 199}, 10)
    'Lung Lesion: 1 patient has it; 10 are needed'
    >>> left_out_words({"label": "Edema", "positives": 9, "negatives": 0}, 10)
    'Edema: 9 patients have it and none lacks it; 10 are needed'
    """
    least = as_number(needed) or 0
    have, lack = (as_number(label.get(key)) or 0 for key in ("positives", "negatives"))
    told = []
    if have < least:
        told.append(_patients(have, "has it", "have it"))
    if lack < least:
        told.append(_patients(lack, "lacks it", "lack it", "" if told else " patient"))
    return f"{label.get('label')}: {' and '.join(told)}; {count(least)} are needed"


def none_eligible(left_out: Sequence[Tree], needed: object) -> str:
    """Return why there is no verdict where every label has too few patients."""
    told = ". ".join(left_out_words(each, needed) for each in left_out)
    return f"no label has patients enough in the test set: {told}"


def patients_words(patients: int, label: str, *, with_it: bool) -> str:
    """Return how many patients have a finding, or lack it.

    >>> patients_words(1, "Edema", with_it=True), patients_words(3, "Edema", with_it=False)
    ('1 patient has Edema', '3 patients lack Edema')
    """
    one, many = ("has", "have") if with_it else ("lacks", "lack")
    return _patients(patients, f"{one} {label}", f"{many} {label}")


def _labels_were_fixed(tree: Tree) -> bool:
    """Return whether the labels of the endpoint are those of a protocol."""
    changed = {each.get("key") for each in tree.get("deviations") or ()}
    return bool(tree.get("protocol")) and "labels" not in changed


def _patients(number: float, one: str, many: str, noun: str = " patient") -> str:
    """Return "no patient has it", "1 patient has it", "2 patients have it"."""
    if not number:
        return f"{'no' if noun else 'none'}{noun} {one}"
    return f"1{noun} {one}" if number == 1 else f"{count(number)}{noun and f'{noun}s'} {many}"


def _of(some: int, whole: int) -> str:
    """Return how many of the labels."""
    if some < whole:
        return f"{some} of {whole} labels"
    return f"all {whole} labels" if whole > 1 else "the one label"


def _value(key: str, value: object) -> str:
    """Return one value of a protocol."""
    if isinstance(value, list) and key in _DIGESTS:
        return ", ".join(map(_short, value)) or "none"
    if isinstance(value, list):
        parts = [" minus ".join(map(str, v)) if isinstance(v, list) else _number(v) for v in value]
        return ", ".join(parts) or _NOTHING.get(key, "none")
    return _short(value) if key == "partition" else _number(value)


def _number(value: object) -> str:
    number = as_number(value)
    return str(value) if number is None else f"{number:g}"


def _short(digest: object) -> str:
    return str(digest)[:_DIGEST]


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
