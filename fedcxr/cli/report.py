"""`fedcxr report`."""

from fedcxr.cli import options as o
from fedcxr.collector import quick_imports


def report(run: o.RunOrComparison) -> None:
    """Write a page again from the folder alone; a comparison's figures are computed anew."""
    with quick_imports():
        from fedcxr.cli.privacy_sweep import draw_curve
        from fedcxr.experiments.byzantine.byzantine_study import report_byzantine
        from fedcxr.experiments.compare.comparing import report_again
        from fedcxr.report.page import write_report
        from fedcxr.results.privacy_sweep import is_sweep
        from fedcxr.results.reading import is_byzantine, is_comparison
        from fedcxr.runs.folder import RunFolder

    folder = RunFolder.open(run).path
    if is_byzantine(folder):
        print(report_byzantine(folder))
    else:
        print(report_again(folder) if is_comparison(folder) else write_report(folder))
    if is_sweep(folder):
        print(draw_curve(folder, quiet=False))
