"""The page of a study of hostile sites, and its words, by figures made by hand."""

import pytest

from fedcxr.report import byzantine_words as words
from fedcxr.report.byzantine_page import write_byzantine_page
from fedcxr.results.byzantine import FILE, AttackNote, ByzantineStudy, HostileRun, read_byzantine
from fedcxr.results.score import Score

AUROCS = {
    ("mean", "none"): 0.75,
    ("mean", "scaling"): 0.5,
    ("trimmed-mean", "none"): 0.75,
    ("trimmed-mean", "scaling"): 0.74,
    ("krum", "none"): 0.71,
    ("krum", "scaling"): 0.71,
}


def study_of(aurocs=AUROCS, *, seeds=(0,), broken=(), **changes):
    runs = []
    for (defence, attack), auroc in aurocs.items():
        for seed in seeds:
            is_broken = (defence, attack) in broken
            value = None if is_broken else auroc + 0.01 * seed
            runs.append(
                HostileRun(
                    defence=defence,
                    attack=attack,
                    seed=seed,
                    hostile=() if attack == "none" else ("site-03", "site-07"),
                    auroc=Score(
                        value=value, ci=None if is_broken else (value - 0.02, value + 0.02)
                    ),
                    best_round=None if is_broken else 4,
                    rounds=1 if is_broken else 6,
                    last_val_auroc=0.7,
                    counted=0 if attack == "none" else 12,
                    sent=0 if attack == "none" else 12,
                    broke_off="Round 2: 1 of 10 sites answered rightly" if is_broken else None,
                )
            )
    notes = {
        "none": AttackNote(name="none", title="No attack", knows="All sites are honest."),
        "scaling": AttackNote(name="scaling", title="Scaling ×100", knows="A <hundred> times."),
        "alie": AttackNote(name="alie", title="ALIE", knows="They collude."),
    }
    fields = {
        "fedcxr": "0",
        "name": "a-study",
        "is_synthetic": True,
        "source": "synthetic data",
        "model": "densenet_small",
        "image_size": 32,
        "scheme": "iid",
        "sites": 10,
        "hostile": 2,
        "rounds": 6,
        "train_images": 1135,
        "test_images": 359,
        "test_patients": 160,
        "trim": 0.2,
        "byzantine": 2,
        "norm_factor": 10.0,
        "deviations": 0.0,
        "defences": tuple(dict.fromkeys(defence for defence, _ in aurocs)),
        "attacks": tuple(notes[name] for name in dict.fromkeys(attack for _, attack in aurocs)),
        "runs": tuple(runs),
    }
    return ByzantineStudy(**(fields | changes))


def test_a_drop_is_against_the_mean_without_attack():
    study = study_of()
    assert study.cell("krum", "scaling").drop == pytest.approx(0.75 - 0.71)
    assert not study.cell("krum", "scaling").is_held
    assert study.cell("trimmed-mean", "scaling").is_held
    assert study.cell("mean", "none").drop == 0


def test_over_seeds_it_is_the_mean_and_has_no_interval_over_patients():
    cell = study_of(seeds=(0, 1, 2)).cell("krum", "scaling")
    assert cell.auroc.value == pytest.approx(0.72)
    assert cell.auroc.ci is None
    assert cell.drop == pytest.approx(0.04)
    assert (cell.counted, cell.sent) == (36, 36)


def test_the_sentence_has_what_is_lost_and_the_verdict_who_holds():
    study = study_of()
    assert words.sentence(study) == (
        "With 2 of 10 sites hostile (scaling ×100), the macro AUROC falls by at most: mean 0.250; "
        "trimmed-mean 0.010; krum 0.040. Held against the mean without attack, 0.750."
    )
    assert words.verdict(study) == "trimmed-mean loses no more than 0.02 under scaling ×100."


def test_where_none_holds_it_is_said():
    lost = {**AUROCS, ("trimmed-mean", "scaling"): 0.6}
    said = words.verdict(study_of(lost))
    assert said == "trimmed-mean and krum: each loses more than 0.02 under scaling ×100."


def test_a_training_that_broke_off_is_all_lost():
    study = study_of(broken=[("mean", "scaling")])
    assert "mean all, since a training broke off" in words.sentence(study)
    assert study.cell("mean", "scaling").drop is None
    assert words.drop_text(None) == "broke off"


def test_an_attack_without_room_and_a_single_training_are_warned_of():
    with_alie = {**AUROCS, ("mean", "alie"): 0.75}
    alie, single = words.notices(study_of(with_alie))
    assert "ALIE moves by z = 0.00 standard deviations here: with 2 hostile of 10" in alie
    assert single.startswith("One training in each place")
    assert words.notices(study_of(with_alie, seeds=(0, 1), deviations=1.5)) == []


def test_the_page_has_all_of_it_escaped_and_its_tables_beside_it(tmp_path):
    page = write_byzantine_page(study_of(broken=[("mean", "scaling")]), tmp_path).read_text()
    assert "A &lt;hundred&gt; times." in page
    assert "Round 2: 1 of 10 sites answered rightly" in page
    assert "http" not in page.replace("http-equiv", "")
    rows = (tmp_path / "tables" / "hostile_sites.csv").read_text().splitlines()
    assert len(rows) == 1 + 6
    assert "krum,No attack,0.71,0.69" in rows[5]
    assert (tmp_path / "tables" / "trainings.csv").is_file()
    assert (tmp_path / "tables" / "hostile_sites.tex").is_file()


def test_the_file_is_read_back_as_it_was(tmp_path):
    study = study_of()
    (tmp_path / FILE).write_text(study.model_dump_json())
    assert read_byzantine(tmp_path) == study
