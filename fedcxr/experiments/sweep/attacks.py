"""What attackers get of a sweep's arms: members by the final model, images by a site's update.

Membership is asked of every training. Inversion is costly and about one update, so it is done once
for each protection that differs, on the first training: the models that it begins from, the site
and the images are the same in all arms. A found result is kept and not computed again: the noise of
an attacked site is its secret, and would be another.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from fedcxr.errors import ArtefactError, DataError
from fedcxr.experiments.inversion.attack_inversion import OnProgress, attack_inversion
from fedcxr.experiments.inversion.attacked_site import AttackedSite
from fedcxr.experiments.inversion.design import InversionDesign
from fedcxr.experiments.membership.attack_membership import MembershipDesign, attack_membership
from fedcxr.results.inversion import FILE, Inversion, InversionResult, read_inversion
from fedcxr.results.membership import read_membership
from fedcxr.results.privacy_sweep import (
    UNPROTECTED,
    InversionFacts,
    InversionSettings,
    SweepDesign,
)
from fedcxr.results.score import Score
from fedcxr.runs.folder import RunFolder

ALLOWED = 0.01
"""False alarms of the attack on membership."""
INVERSION = InversionSettings(images=8, steps=60)
"""About half a minute a protection on two cores."""
FOLDER = "inversion"
"""Of a sweep: a folder an arm that is attacked, with images of patients."""

_UNSENT = "no update is sent: the images are where the model is trained"
_UNTRIED = "not computed: the attack does not simulate noise on a whole update of many steps"


def silent(what: str, done: int, total: int) -> None:
    """Tell nobody of progress."""


def members_found(
    runs: Mapping[str, Sequence[Path]], on_progress: OnProgress = silent
) -> dict[str, Score]:
    """Return by arm what `membership_tpr` says of its trainings."""
    found: dict[str, Score] = {}
    for arm, trainings in runs.items():
        on_progress("Attacking: membership", len(found), len(runs))
        found[arm] = membership_tpr(trainings)
    return found


def membership_tpr(runs: Sequence[Path]) -> Score:
    """Return which share of members an outsider finds by the loss, over an arm's trainings.

    At 1 % of false alarms. Each training's own result, with its interval, is in its folder.
    """
    rates = [_attacked(run) for run in runs]
    values = [rate.value for rate in rates if rate.value is not None]
    if len(values) < len(rates) or len(rates) == 1:
        return next((rate for rate in rates if rate.value is None), rates[0])
    why = f"no interval: a mean over {len(rates)} trainings, each with its own"
    return Score(value=sum(values) / len(values), reason=why)


def _attacked(run: Path) -> Score:
    try:
        page = attack_membership(run, MembershipDesign(methods=("loss",)))
    except DataError as err:  # too few patients
        return Score(value=None, reason=str(err).removeprefix(f"{run}: "))
    return read_membership(page.parent).attacks[0].rate(ALLOWED).tpr


def inversions(
    folder: Path,
    design: SweepDesign,
    runs: Mapping[str, Sequence[Path]],
    on_progress: OnProgress = silent,
) -> tuple[InversionFacts | None, dict[str, dict[str, Score]]]:
    """Return how updates were inverted, and by arm what was found, under a point's field names.

    Under `client` the server sees each update before the noise: that is no protection against it.

    Args:
        folder: of the sweep.
        design: its.
        runs: by arm, the run folders of its trainings.
        on_progress: told after each step of a search.
    """
    asked = design.inversion
    if asked is None:
        return None, {}
    plain = UNPROTECTED["federated"]
    sigma = {
        arm.name: _noise(runs[arm.name][0])
        for arm in design.arms
        if arm.level == "patient" and arm.trained == "federated"
    }
    found: dict[str, dict[str, Score]] = {UNPROTECTED["centralized"]: _nothing(_UNSENT)}
    try:
        first = _inverted(folder / FOLDER / plain, runs[plain][0], asked, None, on_progress)
        found[plain] = _scores(first.inversions[0])
        for name, noise in sigma.items():
            own = _inverted(folder / FOLDER / name, runs[name][0], asked, noise, on_progress)
            found[name] = _scores(own.inversions[0])
    except DataError as err:  # too few patients
        why = str(err).removeprefix(f"{runs[plain][0] / 'partition'}: ")
        return None, {arm: _nothing(why) for arm in runs}
    for arm in design.arms:
        if arm.trained == "centralized":
            found[arm.name] = _nothing(_UNSENT)
        elif arm.level != "patient":
            found[arm.name] = found[plain] if arm.level == "client" else _nothing(_UNTRIED)
    facts = InversionFacts(
        images=len(first.inversions[0].images),
        steps=first.steps,
        site=first.site,
        candidates=first.inversions[0].reidentified.candidates,
        best_guess=first.inversions[0].ssim.prior,
    )
    return facts, found


def _inverted(
    out: Path,
    run: Path,
    asked: InversionSettings,
    noise: tuple[float, float] | None,
    on_progress: OnProgress,
) -> InversionResult:
    """Return what the updates of a run's first site give away, attacked if they were not yet.

    Args:
        out: folder of the result.
        run: whose initial model the site is sent.
        asked: how.
        noise: C and σ of the site's steps; none = as they are.
        on_progress: told after each step of a search.
    """
    site = AttackedSite.of_run(run, None, 0)
    is_grouped = site.model.config.server.batch_norm == "group"
    plain = "group" if is_grouped else "frozen"
    design = InversionDesign(
        images=min(asked.images, site.num_own),
        steps=asked.steps,
        protections=(plain if noise is None else "dp",),
    )
    if noise is not None:
        design = replace(design, clip=noise[0], noise=noise[1])
    kept = _kept(out, design, run)
    if kept is not None:
        return kept
    attack_inversion(
        site, design, out, lambda what, done, total: on_progress(f"{out.name}: {what}", done, total)
    )
    return read_inversion(out)


def _kept(out: Path, design: InversionDesign, run: Path) -> InversionResult | None:
    """Return what an earlier attack of the same design found, if there was one."""
    if not (out / FILE).is_file():
        return None
    try:
        found = read_inversion(out)
    except ArtefactError:
        return None
    now = (run.name, design.steps, design.clip, design.noise, design.images, design.protections)
    names = tuple(each.protection for each in found.inversions)
    images = len(found.inversions[0].images) if found.inversions else 0
    then = (found.run, found.steps, found.clip, found.noise, images, names)
    return found if then == now else None


def _noise(run: Path) -> tuple[float, float]:
    """Return C and σ of the first site of a run under patient-level privacy."""
    privacy = RunFolder(run).read_json("manifest.json")["privacy"]
    sites = sorted(privacy["sites"], key=lambda site: str(site["site_id"]))
    return float(privacy["clip"]), float(sites[0]["noise"])


def _scores(found: Inversion) -> dict[str, Score]:
    return {
        "inversion_ssim": found.ssim.found,
        "inversion_gain": found.ssim.gain,
        "inversion_found": found.reidentified.share,
    }


def _nothing(why: str) -> dict[str, Score]:
    names = ("inversion_ssim", "inversion_gain", "inversion_found")
    return dict.fromkeys(names, Score(value=None, reason=why))
