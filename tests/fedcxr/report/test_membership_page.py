"""The page of attacks on membership, and its words, by figures made by hand."""

import pytest

from fedcxr.errors import ArtefactError
from fedcxr.report import membership_words as words
from fedcxr.report.membership_page import write_membership_page
from fedcxr.results.membership import (
    FILE,
    Attack,
    AttackCurve,
    AttackedGroup,
    FoundRate,
    IdentifiedPatients,
    MembershipResult,
    read_membership,
)
from fedcxr.results.score import Score

FEW = Score(value=None, reason="not estimable: 500 non-members, 1,000 are needed")


def attack_of(method="loss", title="Loss threshold", *, tpr=0.3, control=(0.46, 0.54), bound=None):
    rates = (
        FoundRate(allowed=0.001, tpr=FEW, hits=0, alarms=0, fpr_ci=None, private_bound=bound),
        FoundRate(
            allowed=0.01,
            tpr=Score(value=tpr, ci=(tpr - 0.02, tpr + 0.02)),
            hits=int(500 * tpr),
            alarms=5,
            fpr_ci=(0.003, 0.02),
            private_bound=bound,
        ),
    )
    group = AttackedGroup(
        attribute="sex",
        group="F",
        members=200,
        non_members=200,
        tpr=Score(value=0.35, ci=(0.3, 0.4)),
        tpr_gap=Score(value=0.1, ci=(0.02, 0.18)),
        auroc=Score(value=0.8, ci=(0.7, 0.9)),
        auroc_gap=Score(value=0.02, ci=(-0.05, 0.09)),
    )
    return Attack(
        attacker="outsider",
        site="",
        method=method,
        title=title,
        models=1,
        members=500,
        non_members=500,
        auroc=Score(value=0.8, ci=(0.77, 0.83)),
        control=Score(value=0.5, ci=control),
        rates=rates,
        curve=AttackCurve(fpr=(0.0, 0.0, 0.01, 1.0), tpr=(0.0, 0.1, tpr, 1.0)),
        member_images=900,
        non_member_images=880,
        image_auroc=Score(value=0.78, ci=(0.75, 0.81)),
        image_rates=rates,
        groups=(group,),
    )


def result_of(*attacks, **changes):
    fields = {
        "fedcxr": "0",
        "run": "a-<run>",
        "is_synthetic": True,
        "source": "synthetic data",
        "model": "densenet_small",
        "image_size": 32,
        "sites": 2,
        "best_round": 3,
        "epochs": 30,
        "parameters": 123456,
        "members": 500,
        "non_members": 500,
        "left_out_images": 0,
        "official": 0,
        "shadows": 4,
        "privacy": "none",
        "epsilon": None,
        "delta": None,
        "attacks": attacks or (attack_of(),),
        "identified": (
            IdentifiedPatients(
                method="loss",
                title="Loss threshold",
                targets=4,
                patients=1000,
                sure=None,
                by_chance=None,
                quantiles=(),
                reason="not estimable: 4 target models, 64 are needed",
            ),
        ),
        "missing": (),
    }
    return MembershipResult(**(fields | changes))


def test_the_sentence_names_the_attack_that_finds_most():
    lira = attack_of("lira-online", "LiRA, online", tpr=0.42)
    result = result_of(attack_of(), lira)
    assert words.sentence(result) == (
        "The best attack, LiRA, online by the outsider, finds 42.0 % (40.0–44.0 %) of the patients "
        "who were trained on while calling 1 % of others members; chance finds 1 %."
    )
    assert words.verdict(result) == "That is more than chance."
    assert words.notices(result) == []


def test_an_attack_that_finds_as_many_as_chance_is_said_to_find_nothing_more():
    result = result_of(attack_of(tpr=0.015))
    assert words.verdict(result) == "No attack finds more than chance by its interval."


def test_an_epsilon_is_held_against_what_is_found():
    kept = result_of(attack_of(tpr=0.05, bound=0.201), epsilon=3.0, delta=1e-4, privacy="patient")
    assert words.verdict(kept).endswith(
        "ε = 3 allows e^ε·1 % + δ = 20.1 %: the upper ends of all intervals lie below it."
    )
    broken = result_of(attack_of(tpr=0.3, bound=0.201), epsilon=3.0, delta=1e-4)
    assert "lie not all below it" in words.verdict(broken)


def test_a_control_that_fails_the_left_out_and_missing_shadows_are_told():
    result = result_of(attack_of(control=(0.51, 0.6)), official=48, shadows=0, missing=("VAE.",))
    control, official, shadows, missing = words.notices(result)
    assert control.startswith("The control of Loss threshold by the outsider fails")
    assert official.startswith("The 48 patients of the official test set are left out")
    assert "--shadows 4" in shadows
    assert missing == "VAE."


def test_many_attacks_are_said_to_succeed_by_chance_now_and_then():
    (many,) = words.notices(result_of(*[attack_of()] * 15))
    assert many.startswith("There are 15 attacks, and each interval is of one alone")
    assert words.notices(result_of(*[attack_of()] * 10)) == []


def test_identified_patients_stand_beside_what_a_coin_would_be_right_about():
    known = IdentifiedPatients(
        method="loss",
        title="Loss threshold",
        targets=64,
        patients=1000,
        sure=7,
        by_chance=2.3e-9,
        quantiles=((0.5, 0.61),),
        reason=None,
    )
    (line,) = words.identified_lines(result_of(identified=(known,)))
    assert line == (
        "Loss threshold: right about 7 of 1,000 patients in more than 90 % of 64 models; a coin "
        "would be about 2.3e-09. The median patient: 61 %."
    )


def test_the_page_has_figure_tables_and_escaped_names_and_is_written_to_the_same_bytes(tmp_path):
    result = result_of(attack_of(), attack_of("rmia", "RMIA, offline", bound=0.2), epsilon=3.0)
    page = write_membership_page(result, tmp_path)
    text = page.read_text()
    for found in ("a-&lt;run&gt;", "fig-membership-roc", "RMIA, offline", "1,000 are needed"):
        assert found in text
    assert "<run>" not in text
    names = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")}
    assert {
        "figures/membership-roc.svg",
        "figures/membership-roc.png",
        "figures/membership-roc.pdf",
        "tables/attacks.csv",
        "tables/groups.csv",
        "tables/roc.csv",
    } <= names
    assert (tmp_path / "tables" / "roc.csv").read_text().splitlines()[1] == (
        "Loss threshold,outsider,,0.0,0.0"
    )
    write_membership_page(result, tmp_path)
    assert page.read_text() == text


def test_the_page_of_vaes_says_so_and_has_a_column_of_the_sites_own_patients(tmp_path):
    attack = attack_of("elbo", "ELBO").model_copy(
        update={
            "attacker": "holder",
            "site": "site-00",
            "home_auroc": Score(value=0.71, ci=(0.6, 0.8)),
        }
    )
    result = result_of(attack, target="vae", samples=340, shadows=0, model="VAE")
    page = write_membership_page(result, tmp_path)
    text = page.read_text()
    for found in ("by a site&#39;s VAE", "the worst case", "340", "own site", "Hilprecht"):
        assert found in text
    for other in ("shadow models", "Shadow models", "LiRA"):
        assert other not in text
    assert words.notices(result) == []
    assert "AUROC 0.800 (0.770–0.830), against the site's own 0.710 (0.600–0.800), TPR" in (
        words.line(attack)
    )
    head, row = (tmp_path / "tables" / "attacks.csv").read_text().splitlines()
    assert head.split(",")[-4:-1] == ["home_auroc", "home_auroc_low", "home_auroc_high"]
    assert row.split(",")[-4:-1] == ["0.71", "0.6", "0.8"]


def test_a_result_is_read_again_and_a_damaged_one_is_refused_by_what_is_wrong(tmp_path):
    result = result_of()
    (tmp_path / FILE).write_text(result.model_dump_json(), "utf-8")
    assert read_membership(tmp_path) == result
    (tmp_path / FILE).write_text(result_of(shadows=5).model_dump_json().replace("5", '"x"', 1))
    with pytest.raises(ArtefactError, match=r"result\.json: "):
        read_membership(tmp_path)
    with pytest.raises(ArtefactError, match="missing"):
        read_membership(tmp_path / "none")
