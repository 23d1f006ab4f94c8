"""What of the images that arms added is not as planned, and which sites' samples copy, in words."""

from collections import Counter

from fedcxr.report.wording import count, counted
from fedcxr.results.added_images import AddedImages
from fedcxr.results.arms import ArmResult
from fedcxr.results.comparison import Comparison


def added_notices(result: Comparison) -> list[str]:
    """Return a sentence for each arm that added other images than were planned."""
    arms = [(arm, arm.added) for arm in result.arms if arm.added is not None]
    return [f"{arm.title}: {told}." for arm, added in arms if (told := _unlike(added))]


def vae_notices(result: Comparison) -> list[str]:
    """Return a sentence for each site of an arm that went without a VAE, or whose samples copy."""
    made, copying = Counter[str](), Counter[str]()
    without = Counter[tuple[str, str]]()
    for arm in vae_arms(result):
        for one in arm.added.sites if arm.added else ():
            site, numbers = site_name(arm, one.told.site_id), one.told.numbers
            made[site] += 1
            copying[site] += numbers.is_copying
            without[site, numbers.status_words()] += numbers.status != 0
    found = [
        f"{site} {words} (in {times} of {counted(made[site], 'training', 'trainings')})."
        for (site, words), times in without.items()
        if times
    ]
    return found + [
        f"The samples of {site} copy training images, by its own test (in {times} of "
        f"{counted(made[site], 'training', 'trainings')})."
        for site, times in copying.items()
        if times
    ]


def vae_arms(result: Comparison) -> list[ArmResult]:
    """Return the arms whose sites train VAEs."""
    return [arm for arm in result.arms if arm.added is not None and arm.added.kind == "vae"]


def site_name(arm: ArmResult, site_id: str) -> str:
    """Return a site's name, with what sets the arm apart from others that train VAEs."""
    return f"{arm.setting}: {site_id}" if arm.setting else site_id


def _unlike(added: AddedImages) -> str:
    """Return what is otherwise than planned; empty where nothing is."""
    if added.images is None:
        return "not every site let out how many images it added"
    if added.images == added.planned:
        return ""
    told = [
        f"{count(added.images)} images were added a training, and {count(added.planned)} were "
        "planned, as in every arm that adds any"
    ]
    without = len(added.without)
    if without:
        told.append(f"a site went without {counted(without, 'time', 'times')}")
    if added.refused:
        told.append(f"{count(added.refused)} samples were dropped as copies over all trainings")
    return "; ".join([*told, "so this arm looks at fewer added images than the others"])
