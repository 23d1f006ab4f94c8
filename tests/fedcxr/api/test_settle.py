from pathlib import Path

import numpy as np
import pytest

import fedcxr
from fedcxr.api.settle import settled
from fedcxr.cli.flags import COMPARE_FLAGS, RUN_FLAGS, config_from_flags
from fedcxr.errors import ConfigError


def settle(known=RUN_FLAGS, **keywords):
    return settled(keywords, known, verb="simulate")


def from_flags(**flags):
    return config_from_flags(flags, preset="quickstart", file=None, settings=[])


def test_keywords_give_the_configuration_that_flags_give():
    by_flags = from_flags(clients=3, rounds=2, labels="Edema,Mass", alpha=0.5, data=["somewhere"])
    by_keywords = settle(
        clients=3, rounds=2, labels=["Edema", "Mass"], alpha=0.5, data=Path("somewhere")
    )
    assert by_keywords == by_flags
    assert settle(labels="Edema, Mass").data.labels == ("Edema", "Mass")
    assert settle(data=["a", Path("b")]) == from_flags(data=["a", "b"])


def test_what_is_not_given_changes_nothing():
    assert settle(rounds=None) == from_flags()


def test_a_number_of_numpy_is_a_number():
    found = settle(COMPARE_FLAGS, rounds=np.int64(3), learning_rates=[np.float32(0.5), 0.25])
    assert found.server.rounds == 3
    assert found.compare.learning_rates == (0.5, 0.25)


def test_any_key_goes_by_set_under_its_dotted_name_or_by_section(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("server: {rounds: 7}\n")
    for changes in ({"train.loss": "focal"}, {"train": {"loss": "focal"}}):
        found = settled({"clients": 4}, RUN_FLAGS, verb="simulate", config=file, changes=changes)
        assert (found.train.loss, found.server.rounds, found.partition.clients) == ("focal", 7, 4)
    path = {"explain.labels": 1, "data.root": Path("/data")}
    assert settled({}, RUN_FLAGS, verb="simulate", changes=path).data.roots == ("/data",)


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"round": 3}, r"simulate: there is no keyword 'round'\. The nearest are .*rounds"),
        ({"pregress": False}, r"The nearest are progress"),
        ({"weight_decay": 0.1}, r"set=\{'train.weight_decay': …\}"),
        ({"zzzz": 1}, r"help\(fedcxr.simulate\) lists them"),
        ({"rounds": "many"}, r"server.rounds"),
        ({"alpha": 0.5, "scheme": "iid"}, r"--alpha belongs to --scheme dirichlet"),
    ],
)
def test_what_no_keyword_or_value_is_is_refused_with_the_way_to_mend_it(keywords, words):
    with pytest.raises(ConfigError, match=words):
        fedcxr.simulate(**keywords)


def test_one_key_is_given_once():
    with pytest.raises(ConfigError, match=r"rounds and set=\{'server.rounds': …\} are one key"):
        fedcxr.simulate(rounds=3, set={"server.rounds": 4})


def test_an_unknown_key_of_set_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match=r"did you mean 'rounds'"):
        fedcxr.simulate(set={"server.round": 3})
