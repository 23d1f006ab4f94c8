import pytest

from fedcxr.config.server import ServerConfig
from fedcxr.config.train import TrainConfig
from fedcxr.errors import ConfigError
from fedcxr.training.choices import check_stop, check_training
from fedcxr.training.losses import LOSSES
from fedcxr.training.optimizers import OPTIMIZERS
from fedcxr.training.schedules import SCHEDULES


def test_every_known_choice_passes():
    for key, registry in (("loss", LOSSES), ("optimizer", OPTIMIZERS), ("lr_schedule", SCHEDULES)):
        for name in registry.names():
            check_training(TrainConfig(**{key: name}))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"loss": "focl"}, r"train\.loss: there is no loss 'focl' \(did you mean 'focal'\?\)"),
        ({"optimizer": "adan"}, r"train\.optimizer: there is no optimiser 'adan'.*adam"),
        ({"lr_schedule": "linear"}, r"no schedule 'linear'.*Known: constant, cosine, step"),
    ],
)
def test_an_unknown_name_is_refused_with_the_known_ones(changes, words):
    with pytest.raises(ConfigError, match=words):
        check_training(TrainConfig(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"focal_gamma": 1.0},
        {"loss": "asymmetric", "focal_alpha": 0.25},
        {"loss": "focal", "asymmetric_clip": 0.1},
        {"momentum": 0.5},
        {"optimizer": "sgd", "beta2": 0.99},
        {"lr_factor": 0.5},
        {"lr_schedule": "step", "lr_patience": 3},
        {"lr_schedule": "plateau", "lr_step": 3},
    ],
)
def test_a_key_that_the_choice_does_not_read_is_refused(changes):
    *choice, (key, value) = changes.items()
    words = rf"train\.{key} = {value}: train\.\w+ = \w+ does not read it"
    with pytest.raises(ConfigError, match=words):
        check_training(TrainConfig(**dict(choice), **{key: value}))


def test_a_key_that_the_choice_reads_is_taken():
    check_training(TrainConfig(loss="focal", focal_gamma=1.0, focal_alpha=0.25))
    check_training(TrainConfig(optimizer="adamw", beta1=0.5, weight_decay=0.1))
    check_training(TrainConfig(lr_schedule="plateau", lr_factor=0.5, lr_patience=3))


@pytest.mark.parametrize("name", [name for name in LOSSES.names() if name != "bce"])
def test_labels_of_three_classes_go_with_the_plain_loss_only(name):
    with pytest.raises(ConfigError, match=r"not defined for labels of three classes, and Edema"):
        check_training(TrainConfig(loss=name), ["Edema"])
    check_training(TrainConfig(), ["Edema"])


def test_a_smallest_improvement_that_nothing_looks_at_is_refused():
    with pytest.raises(ConfigError, match=r"acts with server\.stop_after only"):
        check_stop(ServerConfig(min_improvement=0.01))
    check_stop(ServerConfig(min_improvement=0.01, stop_after=2))
