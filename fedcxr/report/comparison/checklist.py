"""Reporting checklists, filled in where the comparison itself knows the answer.

CLAIM 2024 (Tejani et al. 2024, Radiology: Artificial Intelligence 6(4), e240300) and TRIPOD+AI
(Collins et al. 2024, BMJ 385, e078378). The items are named in our own short words; the official
forms have the binding ones. An item that only its authors can answer is open, never guessed.
"""

from collections.abc import Callable
from dataclasses import dataclass

from fedcxr.report.comparison import checklist_answers as answers
from fedcxr.report.comparison import checklist_data as data
from fedcxr.report.comparison.read_comparison import Comparison
from fedcxr.report.comparison.table import Column, Table

CLAIM = "CLAIM 2024"
TRIPOD = "TRIPOD+AI"

FILLED, PARTLY, OPEN = "filled in", "partly", "open"

_Answer = Callable[[Comparison], str]


@dataclass(frozen=True, slots=True)
class Item:
    """One item, and who answers it."""

    number: str
    asks: str
    answer: _Answer | None = None
    """None: its authors alone can say."""
    rest: str = ""
    """What is still to be said when `answer` has said its part."""


CLAIM_ITEMS = (
    Item("1", "Title names the AI technology"),
    Item("2", "Structured abstract"),
    Item("3", "Background, intended use and clinical role"),
    Item("4", "Aims and hypotheses", answers.goal, "the clinical aim"),
    Item("5", "Prospective or retrospective"),
    Item("6", "Goal of the study", answers.goal),
    Item("7", "Data sources", data.source, "links, dates and places"),
    Item("8", "Inclusion and exclusion criteria"),
    Item("9", "Preprocessing", data.preprocessing, "normalisation: config.yaml"),
    Item("10", "Selection of data subsets"),
    Item("11", "De-identification", data.tokens, "how the source was de-identified"),
    Item("12", "Missing data", data.missing, "the policies: config.yaml"),
    Item("13", "Image acquisition"),
    Item("14", "Reference standard, how obtained"),
    Item("15", "Reference standard, why this one"),
    Item("16", "Who annotated"),
    Item("17", "How the test set was annotated"),
    Item("18", "Variability between annotators"),
    Item("19", "How data were assigned to partitions", data.partition),
    Item("20", "At which level the partitions are disjoint", data.disjoint),
    Item("21", "Intended size of the test set", data.sample_size, "how it was chosen"),
    Item("22", "Model", answers.model, "layers: the code of that name"),
    Item("23", "Software", answers.software, "other versions: manifest.json"),
    Item("24", "Initialisation of the parameters", answers.initial, "weights: config.yaml"),
    Item("25", "Training and hyperparameters", answers.training, "the rest: config.yaml"),
    Item("26", "How the final model was chosen", answers.chosen),
    Item("27", "Ensembles", answers.ensembles),
    Item("28", "Measures of performance", answers.measures),
    Item("29", "Uncertainty and significance", answers.uncertainty),
    Item("30", "Robustness and sensitivity", answers.robustness),
    Item("31", "Explainability"),
    Item("32", "Testing on internal data", data.internal),
    Item("33", "Testing on external data"),
    Item("34", "Registration of a trial"),
    Item("35", "Numbers of patients and images", data.numbers, "exclusions, flow diagram"),
    Item("36", "Demographics by partition", data.demographics, "of training and validation"),
    Item("37", "Performance, by partition and subgroup", answers.performance),
    Item("38", "Accuracy with intervals", answers.accuracy),
    Item("39", "Analysis of failures", answers.failures, "examples, and what they mean"),
    Item("40", "Limitations", answers.limits, "those of the data and the clinical setting"),
    Item("41", "Implications for practice"),
    Item("42", "Full protocol"),
    Item("43", "Availability of software, model and data", answers.software, "model and data"),
    Item("44", "Funding"),
)

TRIPOD_ITEMS = (
    Item("1", "Title"),
    Item("2", "Abstract"),
    Item("3a", "Healthcare context and existing models"),
    Item("3b", "Target population, purpose and users"),
    Item("3c", "Known health inequalities"),
    Item("4", "Objectives", answers.goal),
    Item("5a", "Sources of data", data.source, "why these, and how representative"),
    Item("5b", "Dates of the data"),
    Item("6a", "Setting, number and place of centres", data.centres, "setting and places"),
    Item("6b", "Eligibility"),
    Item("6c", "Treatments"),
    Item("7", "Preprocessing and quality checks", data.preprocessing, "the checks' results"),
    Item("8a", "Outcome and how it was assessed", data.outcome, "how it was assessed"),
    Item("8b", "Assessors of the outcome"),
    Item("8c", "Blinding of the outcome"),
    Item("9a", "Choice of predictors", data.predictors),
    Item("9b", "Definition of predictors", data.predictors, "acquisition"),
    Item("9c", "Assessors of predictors"),
    Item("10", "Study size", data.sample_size, "how it was arrived at"),
    Item("11", "Missing data", data.missing, "the policies: config.yaml"),
    Item("12a", "How the data were used and partitioned", data.partition),
    Item("12b", "How predictors were handled", data.preprocessing, "normalisation: config.yaml"),
    Item("12c", "Type of model and how it was built", answers.training, "the rest: config.yaml"),
    Item("12d", "Differences between clusters, method", answers.clusters),
    Item("12e", "Measures and plots, comparison of models", answers.measures),
    Item("12f", "Model updating", answers.updating),
    Item("12g", "How predictions were calculated", answers.predictions),
    Item("13", "Class imbalance"),
    Item("14", "Fairness", answers.fairness, "why so, and what follows"),
    Item("15", "Output and thresholds", answers.thresholds),
    Item("16", "Differences of development and evaluation data"),
    Item("17", "Ethical approval"),
    Item("18a", "Funding"),
    Item("18b", "Conflicts of interest"),
    Item("18c", "Protocol"),
    Item("18d", "Registration"),
    Item("18e", "Availability of data"),
    Item("18f", "Availability of code", answers.software, "where it can be had"),
    Item("19", "Involvement of patients and the public"),
    Item("20a", "Flow of participants", data.numbers, "flow diagram"),
    Item("20b", "Characteristics", data.demographics, "of training and validation"),
    Item("20c", "Evaluation against development data", data.frequencies, "demographics"),
    Item("21", "Participants and events in each analysis", data.frequencies),
    Item("22", "The full model", answers.checkpoints, "access"),
    Item("23a", "Performance with intervals, subgroups", answers.performance),
    Item("23b", "Differences between clusters, results", answers.clusters),
    Item("24", "Results of updating", answers.updating),
    Item("25", "Interpretation"),
    Item("26", "Limitations", answers.limits, "those of the data and the clinical setting"),
    Item("27a", "Poor or missing input in use"),
    Item("27b", "Interaction and expertise of users"),
    Item("27c", "Next steps"),
)


def checklist(comparison: Comparison) -> Table:
    """Return every item of both lists with its state and what the comparison can say of it."""
    columns = (
        Column("guideline", "Guideline"),
        Column("item", "Item", "head"),
        Column("asks", "Asks for"),
        Column("state", "State"),
        Column("answer", "From this comparison"),
        Column("still_open", "Still to be said"),
    )
    found = [
        (guideline, item.number, item.asks, *_state(item, comparison))
        for guideline, items in ((CLAIM, CLAIM_ITEMS), (TRIPOD, TRIPOD_ITEMS))
        for item in items
    ]
    return Table("checklist", columns, tuple(found))


def _state(item: Item, comparison: Comparison) -> tuple[str, str, str]:
    told = item.answer(comparison) if item.answer else ""
    if not told:
        return OPEN, "", ""
    return (PARTLY if item.rest else FILLED), told, item.rest
