"""ROC curves of attacks on logarithmic axes: what counts is far to the left."""

from collections.abc import Sequence

import numpy as np
from matplotlib.ticker import FuncFormatter, NullLocator

from fedcxr.report.arm_style import legend_columns, style_of
from fedcxr.report.figures_svg import INK, MUTED, new_axes, styled
from fedcxr.report.membership_words import described
from fedcxr.report.pictures import Picture, picture
from fedcxr.results.membership import Attack, MembershipResult

_WIDTH, _HEIGHT = 5.2, 4.4
"""Inches, with a legend of five lines; `_LINE` for each more."""
_LINE = 0.19


@styled
def draw_attacks(result: MembershipResult) -> Picture:
    """Return the curves of all attacks over patients, chance, and what ε allows where there is one.

    The axes begin below what one patient is of each kind.
    """
    figure, axes = new_axes(_WIDTH, _HEIGHT)
    low = _lowest(result.attacks)
    line = np.geomspace(low, 1, 200)
    axes.plot(line, line, color=MUTED, linewidth=1.0, linestyle=(0, (2, 2)), label="chance")
    if result.epsilon is not None and result.delta is not None:
        allowed = np.minimum(1, np.exp(result.epsilon) * line + result.delta)
        label = f"the most that ε = {result.epsilon:g} allows"
        axes.plot(line, allowed, color=INK, linewidth=1.0, label=label)
    for place, attack in enumerate(result.attacks):
        fpr, tpr = np.maximum(attack.curve.fpr, low), np.maximum(attack.curve.tpr, low)
        style = style_of(place)
        axes.step(fpr, tpr, where="post", **style.line(linewidth=1.6, label=described(attack)))
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(low, 1)
    axes.set_ylim(low, 1.1)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    axes.grid()
    axes.set_xlabel("false positive rate: non-members called members")
    axes.set_ylabel("true positive rate: members found")
    columns = legend_columns(axes.get_lines(), _WIDTH)
    figure.legend(loc="outside upper center", ncols=columns, handlelength=2.6)
    lines = -(-len(axes.get_lines()) // columns)
    figure.set_figheight(_HEIGHT + _LINE * max(0, lines - 5))
    told = "; ".join(f"{described(each)}, AUROC {each.auroc.value:.3f}" for each in result.attacks)
    return picture(figure, "membership-roc", f"ROC curves of attacks over patients: {told}.")


def _lowest(attacks: Sequence[Attack]) -> float:
    """Return the power of ten at or below one patient's share.

    >>> round(10 ** np.floor(np.log10(1 / 1000)), 6)
    0.001
    """
    most = max(max(attack.members, attack.non_members) for attack in attacks)
    return float(10 ** np.floor(np.log10(1 / most) + 1e-9))
