"""The page of `fedcxr plan-study`: how large a study must be, as sentence, table and curve."""

from fedcxr.metrics.study_plan import StudyPlan
from fedcxr.report import study_plan_words as words
from fedcxr.report.pilot import Pilot
from fedcxr.report.rendering import render_page
from fedcxr.report.study_plan_figure import draw_power
from fedcxr.report.wording import percent
from fedcxr.version import __version__


def render_study_plan(plan: StudyPlan, pilot: Pilot) -> str:
    """Return the page as HTML: one file, without network and script."""
    return render_page(
        "study_plan_page.html.md",
        version=__version__,
        name=pilot.name,
        pair=pilot.title,
        sentence=words.sentence(plan),
        caution=words.caution(plan),
        notices=words.notices(plan, pilot),
        is_synthetic=pilot.is_synthetic,
        facts=words.facts(plan),
        rows=words.rows(plan),
        has_partitions=plan.variances.partitions is not None,
        too_varied=words.TOO_VARIED,
        target=percent(plan.aim.power),
        figure_of_power=draw_power(plan),
        variances=words.variance_facts(plan, pilot),
        notes=words.notes(plan),
    )
