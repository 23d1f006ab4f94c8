"""What each arm of a study of augmentation added, and whether all added as many images."""

from fedcxr.report.shown import Shown, View
from fedcxr.report.wording import count, counted
from fedcxr.results.added_images import AddedImages


def show(view: View) -> Shown | None:
    """Return the numbers by label, and what is not as planned; None where it is no such study."""
    result = view.result
    if result.run is not None or result.statistics.question != "superiority":
        return None
    arms = [(arm, arm.added) for arm in result.arms if arm.added is not None]
    notices = [f"{arm.title}: {_unlike(added)}." for arm, added in arms if _unlike(added)]
    seeds = len(result.training.seeds)
    return Shown({"notices": notices, "seeds": counted(seeds, "training", "trainings")})


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
    return "; ".join([*told, "so this arm is held to less than the others"])
