"""The arms on data sets from elsewhere, each an endpoint of its own."""

from dataclasses import dataclass

from fedcxr.report.page_table import PageTable
from fedcxr.report.protocol_words import left_out_words
from fedcxr.report.shown import Shown, View
from fedcxr.report.wording import as_sentence, counted, joined
from fedcxr.results.external import ExternalResult

_TABLES = ("external_arms", "external_differences", "external_differences_by_label")


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """One data set from elsewhere."""

    name: str
    sentences: tuple[str, ...]
    arms: PageTable
    differences: PageTable
    by_label: PageTable


def show(view: View) -> Shown | None:
    """Return the scores and verdicts on each set, None where there is no set."""
    if not view.result.external:
        return None
    found = []
    for each in view.result.external:
        name = each.data.name
        own = (view.tables[table].only("external", name) for table in _TABLES)
        found.append(Elsewhere(name, tuple(_sentences(each, view.result.units)), *own))
    return Shown({"found": found})


def _sentences(each: ExternalResult, units: tuple[str, str]) -> list[str]:
    """Return what was scored, over which labels, and what is missing."""
    endpoint = each.endpoint
    told = [
        f"{counted(each.scored, *units)} of "
        f"{counted(each.data.patients, 'patient', 'patients')} in the layout of "
        f"{each.data.layout}; the means are over {joined(endpoint.means_over)}."
        if endpoint.means_over
        else "It shares no primary label with the run."
    ]
    if endpoint.left_out:
        short = ". ".join(left_out_words(one, endpoint.min_positives) for one in endpoint.left_out)
        told.append(f"Left out of the endpoint, by a count of its patients: {short}.")
    if each.lacking:
        told.append(as_sentence(f"it has no labels of {joined(each.lacking)}"))
    return told
