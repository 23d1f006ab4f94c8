"""What sites said of their own VAEs and samples, as far as their owners let it out."""

from fedcxr.report.added_words import site_name, vae_arms, vae_notices
from fedcxr.report.shown import Shown, View
from fedcxr.report.wording import MISSING, count, fixed, p_value
from fedcxr.results.comparison import Comparison
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
        return _of_arms(view.result)
    run = view.result.run
    sites = run.summary.vae if run.summary else None
    if not sites or run.config.vae.added != "vae":
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


def _of_arms(result: Comparison) -> Shown | None:
    """Return the VAEs of a comparison's arms, training by training."""
    found = [
        (f"{site_name(arm, one.told.site_id)}, seed {one.seed}", one.told)
        for arm in vae_arms(result)
        for one in (arm.added.sites if arm.added else ())
    ]
    if not found:
        return None
    rows = [(name, _cells(told)) for name, told in found if told.numbers.status == 0]
    return Shown({"headings": _HEADINGS, "rows": rows, "notices": vae_notices(result)})


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
