"""What was added to the real images: by each arm of a study, or in a run that adds real ones."""

from fedcxr.report.added_words import added_notices
from fedcxr.report.shown import Shown, View
from fedcxr.report.wording import MISSING, count, counted
from fedcxr.results.run_files import RunFacts


def show(view: View) -> Shown | None:
    """Return the numbers, and what is not as planned; None of any other result."""
    result = view.result
    if result.run is not None:
        return _of_run(result.run)
    if result.statistics.question != "superiority":
        return None
    trainings = counted(len(result.training.seeds), "training", "trainings")
    return Shown({"notices": added_notices(result), "trainings": trainings, "sites": None})


def _of_run(run: RunFacts) -> Shown | None:
    sites = run.summary.vae if run.summary else None
    if not sites or run.config.vae.added == "vae":
        return None
    numbers = [(site.site_id, site.numbers) for site in sites]
    cells = [
        (name, *(MISSING if n is None else count(n) for n in (found.images, found.samples)))
        for name, found in numbers
    ]
    notices = [f"{name} {found.status_words()}." for name, found in numbers if found.status]
    return Shown({"notices": notices, "sites": cells, "kind": run.config.vae.added})
