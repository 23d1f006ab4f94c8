import datetime
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from fedcxr.config import ExperimentConfig, load_config, to_yaml
from fedcxr.config.flower import config_from_run, config_key
from fedcxr.config.load import (
    MAX_YAML_BYTES,
    check_config,
    overlay_file,
    parse_yaml,
    preset_names,
    read_config,
)
from fedcxr.errors import ConfigError


def refused(**arguments):
    with pytest.raises(ConfigError) as caught:
        load_config(**arguments)
    return str(caught.value)


@pytest.fixture
def written(tmp_path):
    """Write a configuration file and return its path."""

    def write(text):
        path = tmp_path / "mine.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_later_sources_win_preset_then_file_then_flags_then_set(written):
    file = written("seed: 1\nserver: {rounds: 21, fraction: 0.5}\ntrain: {batch_size: 21}\n")
    flags = {"server.rounds": 31, "train.batch_size": 31}
    config = load_config("chexpert", file, flags, ["train.batch_size=41"])
    # each source overlays what it names and no more: the preset's image size stays
    assert config.model.image_size == 320
    assert (config.seed, config.server.fraction) == (1, 0.5)
    assert config.server.rounds == 31
    assert config.train.batch_size == 41


def test_what_no_source_names_keeps_its_default():
    config = load_config("quickstart", None, {"train.augment.flip": 0.0})
    assert config.train.augment.flip == 0.0
    assert (
        config.train.augment.max_rotation_deg == ExperimentConfig().train.augment.max_rotation_deg
    )


def test_a_list_in_a_file_replaces_the_whole_list(written):
    config = load_config(file=written("data: {labels: [Edema, Fracture]}"))
    assert config.data.labels == ("Edema", "Fracture")
    config = load_config(
        file=written("data: {labels: [Edema]}"), settings=["data.labels=[Fracture]"]
    )
    assert config.data.labels == ("Fracture",)


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n"])
def test_an_empty_file_changes_nothing(written, text):
    assert load_config(file=written(text)) == load_config()


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_a_whole_configuration(name):
    assert isinstance(load_config(name), ExperimentConfig)


def test_the_three_promised_presets_are_there():
    assert {"quickstart", "chexpert", "nih14"} <= set(preset_names())
    chexpert = load_config("chexpert")
    assert (chexpert.model.name, chexpert.model.image_size) == ("densenet121", 320)
    assert (chexpert.train.beta1, chexpert.train.beta2) == (0.9, 0.999)
    assert (chexpert.train.learning_rate, chexpert.train.batch_size) == (1e-4, 16)


def test_an_unknown_preset_is_refused_with_the_nearest():
    words = refused(preset="chexprt")
    assert "There is no preset 'chexprt' (did you mean 'chexpert'?)" in words
    assert "quickstart" in words


@pytest.mark.parametrize("name", ["../secrets", "/etc/passwd", "quickstart.yaml", ""])
def test_a_preset_is_a_name_and_not_a_path(name):
    assert "There is no preset" in refused(preset=name)


def test_a_mistyped_key_is_refused_with_the_nearest():
    # row 29 of the bad-input table
    words = refused(settings=["train.lerning_rate=1e-3"])
    assert "train.lerning_rate: there is no such key (did you mean 'learning_rate'?)" in words
    assert "batch_size" in words  # and all keys that there are


def test_a_mistyped_section_is_refused_with_the_nearest():
    assert "sever: there is no such key (did you mean 'server'?)" in refused(
        settings=["sever.rounds=3"]
    )


def test_a_mistyped_key_two_sections_down_names_the_keys_there():
    words = refused(settings=["train.augment.flipp=0.1"])
    assert "train.augment.flipp: there is no such key (did you mean 'flip'?)" in words
    assert "max_rotation_deg" in words


def test_a_word_like_no_key_gets_the_keys_alone():
    words = refused(settings=["zzz=1"])
    assert "zzz: there is no such key. Keys here: name, seed" in words


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("train.learning_rate=-1", "train.learning_rate = -1: Input should be greater than 0"),
        ("partition.clients=0", "partition.clients = 0: Input should be greater than 0"),
        ("server.rounds=0", "server.rounds = 0: Input should be greater than 0"),
        ("server.fraction=1.5", "server.fraction = 1.5: Input should be less than or equal to 1"),
        ("train.batch_size=1", "train.batch_size = 1: Input should be greater than or equal to 2"),
        ("train.learning_rate=.nan", "train.learning_rate = nan: Input should be a finite number"),
        ("train.learning_rate=.inf", "train.learning_rate = inf: Input should be a finite number"),
        (
            "model.image_size=16",
            "model.image_size = 16: Input should be greater than or equal to 32",
        ),
        ("engine.kind=spark", "engine.kind = 'spark': Input should be 'local' or 'ray'"),
        ("data.uncertain=maybe", "Input should be 'ignore', 'zeros', 'ones', 'smoothed', "),
        ("data.blank=smoothed", "Input should be 'ignore', 'zeros' or 'ones'"),
        ("data.smooth_low=0.9", "smooth_low is above smooth_high"),
        ("data.root=[/a, /a]", "name each folder once"),
        (
            "partition.sites_file=who.csv",
            "partition: scheme sites-file needs sites_file, and the others take none.",
        ),
        ("partition.fold=2", "fold 2 of 0 folds: they count from 0"),
        ("data.uncertain_by_label={Edema: maybe}", "data.uncertain_by_label.Edema = 'maybe'"),
        ("server.rounds=many", "server.rounds = 'many': Input should be a valid integer"),
        ("server.rounds=2.5", "server.rounds = 2.5: Input should be a valid integer"),
        ("name=../up", "name = '../up': String should match pattern"),
        ("name=", "name = None: Input should be a valid string"),
        ("train=3", "train = 3: Input should be a valid dictionary"),
        ("compare.arms=[local, federated, local]", "local: given twice"),
        ("compare.arms=[]", "Tuple should have at least 1 item"),
        ("compare.learning_rates=[0.1, 0.1]", "0.1: given twice"),
        (
            "compare.prevalence={Edema: 1.5}",
            "compare.prevalence.Edema = 1.5: Input should be less than 1",
        ),
        ("seed=-1", "seed = -1: Input should be greater than or equal to 0"),
    ],
)
def test_a_value_out_of_range_is_refused_by_its_key(setting, words):
    # row 29 of the bad-input table
    assert words in refused(settings=[setting])


def test_all_mistakes_are_told_in_one_message(written):
    file = written("seeed: 1\nserver: {rounds: 0}\n")
    words = refused(file=file, settings=["train.learning_rate=-1", "modl.name=x"])
    for key in ("seeed", "server.rounds", "train.learning_rate", "modl"):
        assert key in words
    assert len(words.splitlines()) == 5  # a heading and four lines


@pytest.mark.parametrize("text", ["3e-4", "3E-4", "0.0003", "3.0e-4", " 3e-4 "])
def test_a_number_is_read_as_a_user_means_it(text):
    # YAML 1.1 takes 3e-4 for a text, because it has no point
    assert load_config(settings=[f"train.learning_rate={text}"]).train.learning_rate == 3e-4


def test_a_text_with_an_e_stays_a_text():
    config = load_config(settings=["name=here", "model.name=densenet121", "engine.device=cpu"])
    assert (config.name, config.model.name, config.engine.device) == ("here", "densenet121", "cpu")


def test_a_value_may_hold_an_equals_sign():
    assert load_config(settings=["data.root=/a=b"]).data.root == "/a=b"


def test_null_unsets():
    config = load_config(overrides={"engine.workers": 3}, settings=["engine.workers=null"])
    assert config.engine.workers is None


def test_a_label_with_a_blank_can_be_named():
    config = load_config(settings=["data.uncertain_by_label={Lung Opacity: ones}"])
    assert config.data.uncertain_by_label == {"Lung Opacity": "ones"}


@pytest.mark.parametrize("text", ["train.learning_rate", "=3", " = 3", ""])
def test_a_setting_without_key_or_value_is_refused(text):
    assert "expected key=value, as in train.learning_rate=3e-4" in refused(settings=[text])


def test_a_setting_that_is_no_yaml_is_refused():
    assert "not plain YAML" in refused(settings=["data.labels=[Edema"])


@pytest.mark.parametrize(
    "text",
    [
        "name: !!python/object/apply:os.system ['touch canary']",
        "name: !!python/name:os.system",
        "name: !!python/object/new:os.system [canary]",
        "name: !mine x",
    ],
)
def test_a_tag_that_makes_objects_is_refused_and_not_obeyed(written, text, tmp_path, monkeypatch):
    # row 28 of the bad-input table
    monkeypatch.chdir(tmp_path)
    assert "not plain YAML" in refused(file=written(text))
    assert not (tmp_path / "canary").exists()


def test_aliases_are_refused_before_they_expand(written):
    # row 28 of the bad-input table
    # "a billion laughs": nine lines that would be 10^9 strings
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    words = refused(file=written("\n".join(rows)))
    assert r"line 2: aliases (*a0) are not read; write the value out" in words


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("seed: 1\nseed: 2\n", 2),
        ("server:\n  rounds: 1\n  rounds: 2\n", 3),
        ("train: {batch_size: 2, batch_size: 3}\n", 1),
    ],
)
def test_a_key_given_twice_is_refused_by_its_line(written, text, line):
    # row 28 of the bad-input table
    words = refused(file=written(text))
    assert f"line {line}: key" in words
    assert "is given twice; keep one" in words


def test_the_same_key_in_two_sections_is_right(written):
    config = load_config(file=written("model: {name: alexnet}\nname: here\n"))
    assert (config.model.name, config.name) == ("alexnet", "here")


def test_a_file_larger_than_a_page_of_text_is_refused(written):
    # row 28 of the bad-input table
    assert "larger than 256 KiB" in refused(file=written("#" * (MAX_YAML_BYTES + 1)))
    with pytest.raises(ConfigError, match="larger than 256 KiB"):
        parse_yaml("é" * MAX_YAML_BYTES, "here")


def test_a_file_that_is_not_utf_8_is_refused(written):
    assert "not UTF-8 text. Save it as UTF-8." in refused(file=written(b"name: caf\xe9\n"))


def test_a_file_that_is_not_there_is_refused(tmp_path):
    words = refused(file=tmp_path / "none.yaml")
    assert "none.yaml: cannot be read (No such file or directory). Check --config." in words


def test_a_folder_in_the_place_of_a_file_is_refused(tmp_path):
    assert "cannot be read" in refused(file=tmp_path)


@pytest.mark.parametrize(("text", "kind"), [("- a\n- b\n", "list"), ("hello", "str"), ("3", "int")])
def test_a_file_that_is_no_mapping_is_refused(written, text, kind):
    assert f"expected 'key: value' lines, found a {kind}" in refused(file=written(text))


@pytest.mark.parametrize(
    "text",
    [
        "seed: [1",
        "seed: 1\n\tname: x\n",
        "a: b: c",
        "? [a]\n: b\n",
        "seed: \x07",
        "a: 1\n---\nb: 2\n",
        "seed: " + "9" * 5000,
        "name: 2024-13-45",
        "name: !!int x",
        "name: !!bool maybe",
        "name: !!float x",
        "name: !!timestamp x",
        "name: !!binary é",
    ],
    ids=lambda text: text[:12],
)
def test_anything_else_that_is_wrong_with_a_file_is_a_configuration_error(written, text):
    assert "mine.yaml: not plain YAML" in refused(file=written(text))


def test_a_file_nested_without_end_is_refused(written):
    assert "nested too deeply" in refused(file=written("[" * 50_000))


@pytest.mark.parametrize("text", ["1: x\n", "null: x\n", "true: x\n", "server: {3: 4}\n"])
def test_a_key_that_is_no_text_is_refused(written, text):
    assert "The configuration is wrong" in refused(file=written(text))


def test_a_date_is_no_value_of_any_key():
    assert parse_yaml("x: 2024-01-02", "here") == {"x": datetime.date(2024, 1, 2)}
    assert "name = datetime.date(2024, 1, 2)" in refused(settings=["name=2024-01-02"])


def test_a_configuration_is_frozen():
    config = load_config()
    with pytest.raises(ValidationError, match="frozen"):
        config.seed = 3
    with pytest.raises(ValidationError, match="frozen"):
        config.train.batch_size = 3


@pytest.mark.parametrize("name", preset_names())
def test_what_was_written_is_read_back_the_same(name, tmp_path):
    changes = {
        "data.task": None,
        "data.labels": ["Edema", "Lung Opacity"],
        "data.uncertain_by_label": {"Edema": "ones"},
        "data.root": "/dätä",
        "train.learning_rate": 1e-5,
        "engine.workers": 2,
    }
    config = load_config(name, overrides=changes)
    (tmp_path / "config.yaml").write_text(to_yaml(config), "utf-8")
    assert read_config(tmp_path / "config.yaml") == config


@pytest.mark.parametrize("key", ["server.bootstrap", "compare.resamples"])
def test_a_key_that_is_gone_is_read_over_in_what_a_run_wrote_and_refused_from_a_user(key, tmp_path):
    config = load_config()
    section, name = key.split(".")
    older = yaml.safe_load(to_yaml(config))
    older[section][name] = 1000
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(older), "utf-8")
    assert read_config(tmp_path / "config.yaml") == config
    with pytest.raises(ConfigError, match=f"{key}: there is no such key any more: .* Leave it out"):
        load_config(settings=[f"{key}=200"])


def test_the_written_file_names_every_default():
    tree = yaml.safe_load(to_yaml(load_config()))
    assert tree["server"]["quorum"] == 0.5
    assert set(tree["train"]["augment"]) == {
        "name",
        "min_crop_area",
        "max_aspect",
        "flip",
        "max_rotation_deg",
    }


def test_a_mapping_can_be_checked_without_a_file():
    assert check_config({"seed": 4}).seed == 4


def test_an_empty_run_config_is_the_quickstart():
    assert config_from_run({}) == load_config()
    assert config_from_run({"preset": "", "config": "", "set": ""}) == load_config()


def test_a_run_config_names_preset_file_and_settings(written):
    file = written("seed: 5\nserver: {rounds: 7}\n")
    run_config = {
        "preset": "nih14",
        "config": str(file),
        "set": "server.rounds=3 data.uncertain_by_label='{Lung Opacity: ones}'",
        "global-dir": "",
    }
    config = config_from_run(run_config)
    assert (config.name, config.seed, config.server.rounds) == ("nih14", 5, 3)
    assert config.data.uncertain_by_label == {"Lung Opacity": "ones"}


def test_the_number_of_simulated_nodes_becomes_the_number_of_sites():
    assert config_from_run({}, clients=12).partition.clients == 12
    assert config_from_run({"set": "partition.clients=3"}, clients=12).partition.clients == 3


def test_a_wrong_run_config_is_a_configuration_error():
    with pytest.raises(ConfigError, match="did you mean 'rounds'"):
        config_from_run({"set": "server.round=3"})
    with pytest.raises(ConfigError, match="expected key=value"):
        config_from_run({"set": "server.rounds 3"})


def test_equal_configurations_have_equal_keys():
    assert config_key(load_config()) == config_key(load_config(settings=["seed=0"]))
    assert config_key(load_config()) != config_key(load_config(settings=["seed=1"]))


def test_gpus_by_number_are_of_the_local_engine():
    assert load_config(overrides={"engine.client_gpus": ["0", "0", "1"]}).engine.client_gpus == (
        0,
        0,
        1,
    )
    with pytest.raises(ConfigError, match="client_gpus is of the local engine; with Ray set gpus"):
        load_config(overrides={"engine.kind": "ray", "engine.client_gpus": ["0"]})


PATHS = {
    "runs_dir": "~/runs",
    "data.root": ["~/cxr", "/abs"],
    "partition.scheme": "sites-file",
    "partition.sites_file": "~/sites.csv",
    "partition.folder": "~/P",
    "model.weights": "~/w.safetensors",
}


def test_a_tilde_is_expanded_in_every_path_from_wherever_it_comes(written, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", "/home/ada")
    text = """
runs_dir: ~/runs
data: {root: [~/cxr, /abs]}
partition: {scheme: sites-file, sites_file: ~/sites.csv, folder: ~/P}
model: {weights: ~/w.safetensors}
"""
    ways = (
        load_config(file=written(text)),
        load_config(overrides=PATHS),
        load_config(settings=[f"{key}={value}" for key, value in PATHS.items()]),
    )
    for config in ways:
        assert config.runs_dir == "/home/ada/runs"
        assert config.data.roots == ("/home/ada/cxr", "/abs")
        assert config.partition.sites_file == "/home/ada/sites.csv"
        assert config.partition.folder == "/home/ada/P"
        assert config.model.weights == "/home/ada/w.safetensors"
    # written into the run, it does not depend on whose HOME it is any more
    monkeypatch.setenv("HOME", "/home/grace")
    (tmp_path / "config.yaml").write_text(to_yaml(ways[0]))
    assert read_config(tmp_path / "config.yaml") == ways[0]


def test_names_that_only_hold_a_tilde_stay_as_they_are():
    config = load_config(overrides={"runs_dir": "a~b/~", "data.root": "./~"})
    assert (config.runs_dir, config.data.root) == ("a~b/~", "./~")
    assert load_config().model.weights == "none"


def test_a_tilde_of_nobody_is_refused_with_its_key():
    told = refused(overrides={"data.root": "~no-such-user/cxr", "seed": -1})
    assert "data.root" in told
    assert "there is no user 'no-such-user'" in told
    assert "seed = -1" in told


def test_a_configuration_file_is_found_below_a_tilde(written, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    written("seed: 7")
    assert load_config(file=Path("~/mine.yaml")).seed == 7
    assert overlay_file(load_config(), Path("~/mine.yaml")).seed == 7


@pytest.mark.parametrize("name", ["Kl\udce4ren", "two\nlines", "[b]'\"#: {", "x" * 250])
def test_a_path_of_any_name_comes_back_from_the_file_that_a_run_writes(tmp_path, name):
    config = load_config(overrides={"data.root": f"/data/{name}", "runs_dir": name})
    (tmp_path / "config.yaml").write_text(to_yaml(config), "utf-8")
    assert read_config(tmp_path / "config.yaml") == config


def test_set_takes_a_path_that_is_no_utf8():
    assert load_config(settings=["data.root=/data/Kl\udce4ren"]).data.root == "/data/Kl\udce4ren"
