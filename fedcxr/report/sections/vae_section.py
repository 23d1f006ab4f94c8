"""What sites said of their own VAEs and samples, as far as their owners let it out."""

from collections import Counter

from fedcxr.report.shown import Shown, View
from fedcxr.report.wording import MISSING, count, counted, fixed, p_value
from fedcxr.results.arms import ArmResult
from fedcxr.results.vae_numbers import SiteVae

_HEADINGS = (
    "Site",
    "Images",
    "Samples",
    "Dropped",
    "Error",
    "of the mean image",
    "Told from real",
    "Recognised",
    "Distance",
    "of real images",
    "Copy p, pixels",
    "Copy p, features",
)


def show(view: View) -> Shown | None:
    """Return a row a VAE, and the sites that went without or copy; None where there are none."""
    if view.result.run is None:
        return _of_arms([arm for arm in view.result.arms if arm.added and arm.added.kind == "vae"])
    run = view.result.run
    sites = run.summary.vae if run.summary else None
    if not sites:
        return None
    notices = [
        f"{site.site_id} {site.numbers.status_words()}."
        for site in sites
        if site.numbers.status != 0
    ]
    notices += [
        f"The samples of {site.site_id} copy training images, by its own test."
        for site in sites
        if site.numbers.is_copying
    ]
    rows = [(site.site_id, _cells(site)) for site in sites if site.numbers.status == 0]
    return Shown({"headings": _HEADINGS, "rows": rows, "notices": notices})


def _of_arms(arms: list[ArmResult]) -> Shown | None:
    """Return the VAEs of a comparison's arms, training by training."""
    rows, made, copying = [], Counter[str](), Counter[str]()
    without = Counter[tuple[str, str]]()
    for arm in arms:
        for one in arm.added.sites if arm.added else ():
            where = f"{arm.setting}: " if arm.setting else ""
            site, numbers = f"{where}{one.told.site_id}", one.told.numbers
            made[site] += 1
            copying[site] += numbers.is_copying
            if numbers.status == 0:
                rows.append((f"{site}, seed {one.seed}", _cells(one.told)))
            else:
                without[site, numbers.status_words()] += 1
    if not made:
        return None
    notices = [
        f"{site} {words} (in {times} of {counted(made[site], 'training', 'trainings')})."
        for (site, words), times in without.items()
    ]
    notices += [
        f"The samples of {site} copy training images, by its own test (in {times} of "
        f"{counted(made[site], 'training', 'trainings')})."
        for site, times in copying.items()
        if times
    ]
    return Shown({"headings": _HEADINGS, "rows": rows, "notices": notices})


def _cells(site: SiteVae) -> list[str]:
    found = site.numbers
    numbers = (found.images, found.samples, found.refused)
    values = (
        found.mse,
        found.mean_image_mse,
        found.two_sample_accuracy,
        found.recognised,
        found.feature_distance,
        found.feature_distance_real,
    )
    return [
        *(MISSING if number is None else count(int(number)) for number in numbers),
        *(fixed(value) for value in values),
        *(
            MISSING if value is None else p_value(value)
            for value in (found.copy_p_pixel, found.copy_p_feature)
        ),
    ]
