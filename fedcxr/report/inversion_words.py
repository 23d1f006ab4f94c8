"""What gradient inversion found, in sentences: the same on the page and on the terminal."""

from fedcxr.report.rendering import Fact
from fedcxr.report.wording import count, counted, fixed, interval, percent, signed, signed_interval
from fedcxr.results.inversion import Inversion, InversionResult, LabelMix

_METHODS = {
    "cosine": "the direction of the update is matched by pixels (Geiping et al. 2020)",
    "layers": "the update is matched tensor by tensor, by the frequencies of radiographs",
    "tokens": "solved from the gradients of patch and position embeddings; nothing is searched",
}


def sentence(result: InversionResult) -> str:
    """Return the answer in one sentence: what is re-identified, seen through what."""
    parts = [f"{_found(each)} ({each.title.lower()})" for each in result.inversions]
    return (
        f"Of {counted(len(result.inversions[0].images), 'image', 'images')} in updates of "
        f"{counted(result.per_update, 'image', 'images')} each, the nearest of "
        f"{count(result.inversions[0].reidentified.candidates)} training patients is the true one "
        f"for: {', '.join(parts)}."
    )


def verdict(result: InversionResult) -> str:
    """Return which reconstructions are better than any guess without the update."""
    better = [each.title.lower() for each in result.inversions if each.beats_prior]
    if not better:
        return "No reconstruction beats the best guess without the update by its interval."
    others = [each.title.lower() for each in result.inversions if not each.beats_prior]
    text = f"Better than the best guess without the update: {', '.join(better)}."
    return text + (f" Not by its interval: {', '.join(others)}." if others else "")


def line(found: Inversion) -> str:
    """Return what was found under one protection, for a terminal."""
    ssim, psnr = found.ssim.gain, found.psnr.gain
    cohort = f", {found.cohort} sites" if found.cohort > 1 else ""
    return (
        f"{found.title + cohort:28} SSIM {fixed(found.ssim.found.value)}, gain "
        f"{signed(ssim.value)} ({signed_interval(ssim.ci)}); PSNR gain {signed(psnr.value, 1)} dB "
        f"({signed_interval(psnr.ci, 1)}); re-identified {_found(found)} "
        f"({interval(found.reidentified.share.ci, 2)}), median rank "
        f"{found.reidentified.median_rank:g}"
    )


def mix_line(found: LabelMix) -> str:
    """Return what was told of the labels under one protection."""
    sites = f", {found.cohort} sites" if found.cohort > 1 else ""
    together = ""
    if found.cohort > 1 and found.cohort_error is not None:
        together = f", of all these sites together with {percent(found.cohort_error, 1)}"
    return (
        f"{found.title}{sites}: the site's shares of positives are told with a mean error of "
        f"{percent(found.error, 1)}{together}; the server's own patients' are off by "
        f"{percent(found.prior_error, 1)}"
    )


def notices(result: InversionResult) -> list[str]:
    """Return what to know before the figures are believed."""
    found = []
    if result.crafted:
        found.append(
            "A hostile server: the head of the model that it sends is of random numbers. A site "
            "cannot tell them from trained ones."
        )
    if any(each.title == "Clipping and noise" for each in result.inversions):
        found.append(
            f"Clipping and noise: C = {result.clip:g} and σ = {result.noise:g} in the one step "
            "that is attacked. What ε a whole training has follows from its own steps and "
            "sampling: `fedcxr privacy account`."
        )
    if result.local_steps == 1:
        found.append("One step of plain SGD, the most that an attacker can be given.")
    return [*found, *result.missing]


def facts(result: InversionResult) -> list[Fact]:
    """Return the figures beside the answer."""
    first = result.inversions[0]
    return [
        Fact(
            "Images",
            count(len(first.images)),
            f"{result.per_update} in an update, {counted(result.local_steps, 'step', 'steps')}",
        ),
        Fact("Best guess", fixed(first.ssim.prior.value), "SSIM without the update"),
        Fact("Candidates", count(first.reidentified.candidates), "training patients"),
        Fact("Known radiographs", count(result.public), "the server's validation patients"),
    ]


def settings(result: InversionResult) -> list[Fact]:
    """Return what was attacked, and how."""
    sent = (
        "the initial model" if result.round_num == 0 else f"the model of round {result.round_num}"
    )
    found = [
        Fact(
            "Network", result.model, f"{result.image_size} px, {count(result.parameters)} numbers"
        ),
        Fact("Sent to the site", sent, result.site),
        Fact("Data", result.source),
        Fact("Method", result.method, _METHODS[result.method]),
    ]
    if result.method != "tokens":
        found += [
            Fact("Search", counted(result.steps, "step", "steps"), f"{result.restarts} restarts"),
            Fact("Batch-norm statistics", f"weight {result.statistics:g}", "where they are sent"),
        ]
    if result.local_steps > 1:
        rate = f"rate {result.learning_rate:g}"
        found.append(Fact("Steps of the site", str(result.local_steps), rate))
    return found


def _found(each: Inversion) -> str:
    return f"{each.reidentified.first} of {each.reidentified.images}"
