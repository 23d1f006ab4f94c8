"""The report: one self-contained HTML page from the files of a run folder."""

from pathlib import Path
from typing import Any

from fedcxr.atomic import write_text_atomically
from fedcxr.report import figures_labels, figures_learning, figures_sites, story, tables, wording
from fedcxr.report.figures_svg import Drawing
from fedcxr.report.gallery import cards
from fedcxr.report.heat_map_words import left_out_sentences, method_facts
from fedcxr.report.published import Beside, Own, beside
from fedcxr.report.read_run import RunView, read_run
from fedcxr.report.rendering import render_page

_MAX_SITES_IN_TABLE = 12  # more than this and a figure shows what a table no longer can
_MAX_ABSENCES = 30


def write_report(run_folder: Path) -> Path:
    """Write `report.html` into the run folder from its files alone and return its path.

    Raises:
        ArtefactError: not a run folder, or a file in it is damaged.
    """
    path = run_folder / "report.html"
    write_text_atomically(path, render(read_run(run_folder)))
    return path


def render(view: RunView) -> str:
    """Return the page of a run as HTML."""
    return render_page(
        "page.html.md",
        view=view,
        **_overview(view),
        **_learning(view),
        **_labels(view),
        **_sites(view),
        **_heat_maps(view),
        **_record(view),
    )


def _overview(view: RunView) -> dict[str, Any]:
    summary = view.summary or {}
    policies = tables.policy_rows(view.manifest, view.labels)
    return {
        "title": story.title(view),
        "sentence": story.sentence(view),
        "state": story.state(view),
        "summary": summary,
        "facts": story.headline_facts(view),
        "settings": story.setting_facts(view),
        "policies": policies,
        "some_masked": any(row.before[-1] for row in policies),
        "policy_notes": story.policy_notes(view.manifest),
        "notes": [str(note) for note in (view.manifest.get("data") or {}).get("notes") or ()],
    }


def _learning(view: RunView) -> dict[str, Any]:
    best = tables.best_round(view)
    absences = tables.absences(view.rounds)
    drawings = (
        figures_learning.draw_loss(view.rounds, best),
        figures_learning.draw_val_auroc(view.rounds, best),
    )
    return {
        "learning": [drawing for drawing in drawings if drawing is not None],
        "best_round": best,
        "absences": absences[:_MAX_ABSENCES],
        "more_absences": max(0, len(absences) - _MAX_ABSENCES),
    }


def _labels(view: RunView) -> dict[str, Any]:
    rows = tables.label_rows(view.summary or {})
    papers = _papers(view)
    macro = wording.as_number((view.summary or {}).get("macro_auroc"))
    rocs = figures_labels.draw_rocs(view.predictions, rows) if view.predictions else []
    return {
        "label_rows": rows,
        "forest": figures_labels.draw_forest(rows, macro),
        "rocs": rocs,
        "cautions": story.cautions(view.summary or {}, rows),
        "papers": papers,
        "paper_rows": [
            (row, [each.source.values.get(row.label) for each in papers])
            for row in rows
            if any(row.label in each.source.values for each in papers)
        ],
    }


def _papers(view: RunView) -> list[Beside]:
    """Return the published sources with what keeps them from being like with like."""
    summary, config = view.summary or {}, view.config
    return beside(
        Own(
            layout=str(view.plan.get("layout") or ""),
            labels=view.labels,
            is_synthetic=view.is_synthetic,
            test_set=view.test_set,
            test_images=summary.get("test_images"),
            test_patients=summary.get("test_patients"),
            image_size=config.model.image_size if config else None,
            score_by=str(summary.get("score_by") or ""),
            model=f"Ours: {config.model.name}, one model." if config else "",
        )
    )


def _sites(view: RunView) -> dict[str, Any]:
    sites = tables.site_rows(view.sites, view.summary)
    parts = tables.global_rows(view.plan)
    labels = [label for label in view.labels if any(site.label_counts for site in sites)]
    few = len(sites) <= _MAX_SITES_IN_TABLE
    figures: list[Drawing] = []
    if not few:
        figures.append(figures_sites.draw_sizes(sites))
        if labels:
            figures.append(figures_sites.draw_prevalence(sites, labels))
    columns = [*sites, *(part for part in parts if part.label_counts)]
    shares = [share for site in columns for label in labels if (share := site.share(label))]
    return {
        "sites": sites,
        "site_scored": any(site.val_auroc is not None for site in sites),
        "took_part": any(site.took_part for site in sites),
        "parts": parts,
        "counted_labels": labels,
        "count_columns": columns if few else [],
        "top_share": max(shares, default=1.0),
        "most_images": max((row.images or 0 for row in [*sites, *parts]), default=0) or 1,
        "site_figures": figures,
        "states": tables.state_rows(sites, labels),
    }


def _heat_maps(view: RunView) -> dict[str, Any]:
    found = (view.summary or {}).get("heat_maps") or {}
    return {
        "cards": cards(view),
        "heat_maps": found,
        "methods": method_facts(found),
        "left_out": list(left_out_sentences(found, _model_name(view))),
        "hits": tables.hit_rows(found),
    }


def _model_name(view: RunView) -> str:
    return view.config.model.name if view.config else "this network"


def _record(view: RunView) -> dict[str, Any]:
    phases = {
        str(name): seconds
        for name, value in ((view.summary or {}).get("phases") or {}).items()
        if (seconds := wording.as_number(value)) is not None
    }
    return {
        "phases": phases,
        "phase_sum": sum(phases.values()) or 1.0,
        "speeds": story.speed_facts(view),
        "manifest_rows": tables.manifest_rows(
            {key: value for key, value in view.manifest.items() if key != "label_counts"}
        ),
    }
