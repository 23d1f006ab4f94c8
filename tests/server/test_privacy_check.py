"""What does not go with a run's protection is refused before anything is made."""

import pytest

from fedcxr.config import load_config
from fedcxr.errors import ConfigError
from fedcxr.training.augmentations import AUGMENTATIONS, Augmentation
from fedcxr.training.transforms import draw_views
from server.choices import check_choices

pytest.importorskip("opacus")

GOOD = {
    "privacy.level": "patient",
    "privacy.epsilon": 3.0,
    "server.batch_norm": "group",
    "model.name": "densenet_small",
    "model.image_size": 32,
}
VAE = {"vae__enabled": True}
PLAIN_SGD = {"train__optimizer": "sgd", "train__momentum": 0.0}


def check(**keys):
    settings = {key.replace("__", "."): value for key, value in keys.items()}
    check_choices(load_config(overrides={**GOOD, **settings}))


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"server__batch_norm": "frozen"},
        {"privacy__epsilon": None, "privacy__noise": 1.0},
        {"algorithm__name": "fedprox"},
        {"algorithm__name": "fedadam"},
        {"server__codec": "topk"},
        {"server__aggregator": "median"},
        {"train__loss": "focal"},
        {**VAE, "vae__classes": "both", "vae__every": 2, "vae__reconstruction": "ssim"},
        {"train__moments": "keep"},
        {"model__name": "densenet121"},
        {"model__name": "resnet50"},
        {"model__name": "alexnet", "model__image_size": 64},
    ],
)
def test_what_goes_with_it_passes(keys):
    check(**keys)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"privacy__epsilon": None}, "privacy.epsilon or privacy.noise, and neither"),
        ({"privacy__noise": 1.0}, "privacy.epsilon or privacy.noise, and both"),
        ({"privacy__epsilon": 101.0}, "privacy.epsilon = 101"),
        ({"privacy__epsilon": None, "privacy__noise": 1e9}, "privacy.noise = 1e"),
        ({"server__batch_norm": "average"}, "--batch-norm group"),
        ({"server__batch_norm": "local"}, "--batch-norm group"),
        ({"algorithm__name": "scaffold", **PLAIN_SGD}, "algorithm.name=scaffold"),
        ({"algorithm__name": "fedbn", "server__batch_norm": "frozen"}, "algorithm.name=fedbn"),
        ({"server__aggregator": "label-mean"}, "server.aggregator=label-mean"),
        ({"train__normalization": "pooled"}, "train.normalization=pooled"),
        ({"train__loss": "weighted_bce"}, "train.loss=weighted_bce"),
        ({"train__loss": "pos_weighted_bce"}, "train.loss=pos_weighted_bce"),
        ({"data__uncertain": "self_trained"}, "data.uncertain=self_trained"),
        ({**VAE, "vae__added": "copies"}, "vae.added=copies adds patients' images again"),
        ({**VAE, "vae__use": "pretrain"}, "vae.use=pretrain trains some rounds on samples alone"),
        ({**VAE, "vae__refuse_copies": True}, "vae.refuse_copies drops samples"),
        ({**VAE, "vae__features": "classifier"}, "vae.features=classifier"),
        ({**VAE, "vae__patience": 3}, "vae.patience = 3: has no effect"),
        ({**VAE, "vae__batch_size": 16}, "train.batch_size patients"),
        ({**VAE, "vae__same_steps": False}, "vae.same_steps = False: has no effect"),
        ({**VAE, "vae__share": []}, "a site tells nothing of its VAE"),
        ({"engine__compile": True}, "engine.compile"),
        ({"engine__precision": "bf16"}, "engine.precision=bf16"),
        ({"privacy__level": "none"}, "privacy.epsilon = 3.0: acts where somebody is protected"),
    ],
)
def test_what_would_break_it_is_refused_with_the_way_to_mend_it(keys, words):
    with pytest.raises(ConfigError) as caught:
        check(**keys)

    assert words in str(caught.value)


def test_an_augmentation_that_may_mix_images_does_not_go_with_it(monkeypatch):
    mixing = Augmentation(draw_views, lambda images, drawn: images.flip(0))
    monkeypatch.setitem(AUGMENTATIONS._values, "mixing", mixing)
    with pytest.raises(ConfigError, match=r"train\.augment\.name=mixing may mix images"):
        check(train__augment__name="mixing")


@pytest.mark.parametrize(
    "setting",
    [
        "privacy.epsilon=0",
        "privacy.epsilon=-1",
        "privacy.noise=0",
        "privacy.clip=0",
        "privacy.delta=0",
        "privacy.delta=1",
        "privacy.physical_batch=0",
    ],
)
def test_a_number_out_of_range_ends_with_exit_code_2(run_main, setting):
    code, _, err = run_main(
        "simulate", "--privacy", "patient", "--batch-norm", "group", "--set", setting
    )

    assert code == 2
    assert setting.partition("=")[0] in err


def test_a_delta_of_1_over_the_smallest_site_s_patients_ends_with_exit_code_2(run_main):
    sizes = ["data.synthetic.patients=40", "data.synthetic.size_px=32", "model.image_size=32"]
    flags = [part for size in sizes for part in ("--set", size)]
    code, _, err = run_main(
        *("simulate", "--privacy", "patient", "--epsilon", "3", "--batch-norm", "group"),
        *("--set", "privacy.delta=0.5", *flags),
    )

    assert code == 2
    assert "privacy.delta = 0.5: expected below 1/patients" in err


def test_without_opacus_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    with pytest.raises(ConfigError, match=r"fedcxr\[privacy\]"):
        check()


def test_fedbn_with_group_norm_is_refused():
    with pytest.raises(ConfigError, match="batch_norm=group leaves none"):
        check(privacy__level="none", privacy__epsilon=None, algorithm__name="fedbn")
