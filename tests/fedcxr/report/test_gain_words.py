"""The answer of a study of augmentation, on the page and in the terminal."""

import pytest
from comparison_example import make_comparison, typed

from fedcxr.report.answer_words import sensitivity, sentence, title
from fedcxr.report.headline import headline
from fedcxr.report.page import render, view_of

KINDS = {"copies": "Copies", "vae": "VAE samples", "none": "Real images alone"}
LABELS = ("Edema", "Fracture")


def added(kind, images=300.0, sites=()):
    return {
        "kind": kind,
        "real": 500.0,
        "planned": 300.0,
        "images": images,
        "real_positives": {"Edema": 90.0, "Fracture": 20.0},
        "positives": {"Edema": 100.0, "Fracture": 200.0},
        "sites": list(sites),
    }


def study(word="better", ci=(0.002, 0.022), value=0.012, settings=("",), **of_vae):
    """Return a study's tree: nothing, copies and VAE samples in each setting."""
    names = [f"{setting or 'federated'}-{kind}" for setting in settings for kind in KINDS]
    tree = make_comparison(arms=("federated", "centralized"), labels=LABELS, undefined=())
    like, gap = tree["arms"][0], tree["differences"][0]
    tree["statistics"]["question"] = "superiority"
    tree["arms"] = []
    for name in names:
        setting, _, kind = name.partition("-")
        own = None if kind == "none" else added(kind, **(of_vae if kind == "vae" else {}))
        place = setting if len(settings) > 1 else ""
        what = KINDS[kind]
        titled = f"{place}: {what}" if place else what
        tree["arms"].append(like | {"name": name, "title": titled, "setting": place, "added": own})
    score = {"value": value, "ci": ci and list(ci), "reason": None if ci else "too few"}
    made = gap | {"macro_auroc": score, "verdict": {"word": word, "reason": "made up"}}
    firsts = dict.fromkeys(name.partition("-")[0] for name in names)
    tree["differences"] = [
        made | {"arm": f"{way}-{one}", "against": f"{way}-{other}", "power": None}
        for one, other in (("vae", "copies"), ("vae", "none"), ("copies", "none"))
        for way in firsts
    ]
    tree["site_matrix"] = {"sites": [], "models": [], "macro_auroc": [], "labels": [], "worst": {}}
    return tree


@pytest.mark.parametrize(
    ("word", "ci", "value", "begins"),
    [
        ("better", (0.002, 0.022), 0.012, "The VAE helps more than copies do: "),
        (
            "no better",
            (-0.012, 0.008),
            -0.002,
            "The VAE does not help more than copies do, or by less than 0.010: ",
        ),
        ("worse", (-0.03, -0.01), -0.02, "The VAE helps less than copies do: "),
        (
            "inconclusive",
            (-0.012, 0.028),
            0.008,
            "Whether the VAE helps more than copies do is not decided: ",
        ),
    ],
)
def test_the_first_sentence_is_the_answer(word, ci, value, begins):
    found = sentence(typed(study(word, ci, value)))
    assert found.startswith(begins)
    assert "than training with copies of real images (95 % interval " in found


def test_without_an_interval_it_says_why_nothing_is_decided():
    found = sentence(typed(study("withheld", None)))
    assert found.startswith("Whether the VAE helps more than copies do is not decided: training")
    assert found.endswith("(too few).")


def test_at_several_places_each_has_its_answer():
    result = typed(study(settings=("federated", "centralized")))
    assert title(result) == "federated: VAE samples against federated: Copies"
    assert sentence(result).startswith("Federated: the VAE helps more than copies do: ")
    told = sensitivity(result)
    assert told[0].startswith("Centralized: the VAE helps more than copies do: ")
    assert len(told) == 2  # and the VAE against nothing added


def test_the_page_says_what_was_added_and_what_is_not_as_planned():
    status = {"site_id": "site-01", "made_in": 1, "numbers": {"status": 4, "samples": 0.0}}
    well = {"status": 0, "samples": 280.0, "refused": 20.0, "copy_p_pixel": 0.001, "images": 250.0}
    made = {"site_id": "site-00", "made_in": 1, "numbers": well}
    sites = [{"seed": 0, "told": one} for one in (made, status)]
    result = typed(study(images=280.0, sites=sites))
    page, _ = render(view_of(result))
    text = " ".join(page.split())
    assert "What was added" in text
    assert (
        "VAE samples: 280 images were added a training, and 300 were planned, as in every arm that "
        "adds any; a site went without 1 time; 20 samples were dropped as copies over all "
        "trainings; so this arm looks at fewer added images than the others." in text
    )
    assert "site-01 trained without samples: its VAE diverged" in text
    assert "The samples of site-00 copy training images, by its own test (in 1 of 1" in text
    assert "no better: it holds 0 and lies below +0.010" in text
    assert headline(result)["hero"].verdict == "better"


def test_the_main_table_holds_every_arm_against_real_images_alone():
    rows = view_of(typed(study())).tables["arms"].table
    at = [column.key for column in rows.columns].index("against")
    assert [row[at] for row in rows.rows] == ["federated-none", "federated-none", None]
