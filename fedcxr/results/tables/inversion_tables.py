"""The tables of an attack by gradient inversion."""

from fedcxr.results.inversion import InversionResult
from fedcxr.results.tables.result_table import Column, Table

_MEASURES = (
    Column("ssim", "SSIM", "estimate", of="ssim.found"),
    Column("ssim_prior", "Best guess", "value", of="ssim.prior.value"),
    Column("ssim_gain", "Gain", "signed", of="ssim.gain"),
    Column("ssim_gain_over_mean", "Over the mean image", "signed", of="ssim.gain_over_mean"),
    Column("psnr", "PSNR, dB", "estimate", of="psnr.found"),
    Column("psnr_prior", "Best guess, dB", "value", of="psnr.prior.value"),
    Column("psnr_gain", "Gain, dB", "signed", of="psnr.gain"),
    Column("reidentified", "Re-identified", "estimate", of="reidentified.share"),
    Column("median_rank", "Median rank", "value", of="reidentified.median_rank"),
    Column("candidates", "of", "count", of="reidentified.candidates"),
    Column("cohort", "Sites in what is seen", "count"),
    Column("seconds", "Time", "duration"),
)
_IMAGE = (
    Column("number", "Image", "count"),
    Column("ssim", "SSIM", "value"),
    Column("mean_ssim", "Mean image", "value"),
    Column("other_ssim", "Other patient", "value"),
    Column("psnr", "PSNR, dB", "value"),
    Column("mean_psnr", "Mean image, dB", "value"),
    Column("other_psnr", "Other patient, dB", "value"),
    Column("rank", "Rank", "count"),
    Column("mismatch", "Mismatch", "value"),
)


def protections_table(result: InversionResult) -> Table:
    """Return a row a protection: means over the images."""
    leading = (Column("protection", "Seen through", "head"),)
    rows = [((each.title,), each) for each in result.inversions]
    title = "How near the images are guessed"
    return Table.of("protections", title, _MEASURES, rows, leading=leading)


def images_table(result: InversionResult) -> Table:
    """Return a row an image and protection."""
    leading = (Column("protection", "Seen through", "head"),)
    rows = [((each.title,), image) for each in result.inversions for image in each.images]
    return Table.of("images", "Every image", _IMAGE, rows, leading=leading)


def labels_table(result: InversionResult) -> Table:
    """Return a row a protection: how far told shares of positives are from the true ones."""
    columns = (
        Column("protection", "Seen through", "head", of="title"),
        Column("cohort", "Sites in what is seen", "count"),
        Column("error", "Mean error, told of the site", "value"),
        Column("cohort_error", "Told of all these sites", "value"),
        Column("largest_error", "Largest error", "value"),
        Column("prior_error", "Mean error, server's own patients", "value"),
        Column("images", "Images of the step", "count"),
    )
    rows = [((), each) for each in result.label_mix]
    return Table.of("label_mix", "The site's label mix, told by one step", columns, rows)
