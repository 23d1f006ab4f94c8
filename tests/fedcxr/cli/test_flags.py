import importlib
import inspect
from pathlib import Path

import pytest
import typer
from fake_run import write_run
from typer.testing import CliRunner

from fedcxr.cli import augment_study as verb
from fedcxr.cli.flags import FLAGS, RUN_FLAGS, config_from_flags
from fedcxr.cli.main import cli
from fedcxr.cli.simulate import simulate
from fedcxr.config import ExperimentConfig, load_config
from fedcxr.errors import ConfigError
from fedcxr.experiments.simulate import FinishedRun

FLAGS_OF_VERBS = Path(__file__).parent / "flags_of_verbs.txt"


def resolve(file=None, settings=(), **flags):
    return config_from_flags(flags, preset="quickstart", file=file, settings=list(settings))


def value_at(config, key):
    for part in key.split("."):
        config = getattr(config, part)
    return config


def flags_of(command, verb=""):
    """Return the flags of every verb below a command, as typed."""
    if hasattr(command, "commands"):
        inner = {} if verb else {"fedcxr": command}
        for name, one in command.commands.items():
            inner |= flags_of(one, f"{verb} {name}".strip())
        return inner
    return {verb: command}


def test_no_verb_has_lost_or_renamed_a_flag():
    # flags_of_verbs.txt: a line a verb. A new flag may come, one that scripts use must stay.
    wanted = {}
    for line in FLAGS_OF_VERBS.read_text("utf-8").splitlines():
        verb, _, flags = line.partition(":")
        wanted[verb] = set(flags.split())
    for verb, command in flags_of(typer.main.get_command(cli)).items():
        options = [p for p in command.params if p.param_type_name == "option"]
        found = {name for option in options for name in (*option.opts, *option.secondary_opts)}
        assert wanted.pop(verb) <= found, verb
    assert wanted == {}


@pytest.mark.parametrize("flagged", FLAGS.values(), ids=FLAGS)
def test_every_flag_names_a_key_that_there_is_and_says_what_it_does(flagged):
    value_at(ExperimentConfig(), flagged.key)
    assert flagged.help.rstrip(".")
    assert flagged.help.endswith(".")
    assert "{" not in flagged.help


def test_every_flag_of_simulate_reaches_the_configuration():
    others = {"preset", "config", "settings", "quiet"}
    assert set(inspect.signature(simulate).parameters) == set(RUN_FLAGS) | others


def test_the_flags_that_were_promised_are_there():
    promised = "clients rounds local_epochs batch_size learning_rate model image_size scheme alpha"
    promised += " fraction seed engine workers device precision data views labels score_by"
    promised += " partition weights batch_norm ray_address name runs_dir"
    assert set(promised.split()) <= set(RUN_FLAGS)


def test_a_flag_that_was_not_given_changes_nothing():
    assert resolve(**dict.fromkeys(FLAGS)) == load_config()


def test_a_flag_wins_over_the_file_and_loses_to_set(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("server: {rounds: 4}\npartition: {clients: 4}\n")
    config = resolve(file, ["server.rounds=6"], rounds=5, clients=5)
    assert (config.server.rounds, config.partition.clients) == (6, 5)


def test_labels_are_separated_by_commas():
    assert resolve(labels="Edema, Lung Opacity,").data.labels == ("Edema", "Lung Opacity")
    assert resolve(labels="Pneumothorax").data.labels == ("Pneumothorax",)


def test_folders_are_kept_as_absolute_paths(tmp_path, monkeypatch):
    # The run may be resumed from another folder.
    monkeypatch.chdir(tmp_path)
    config = resolve(data=["xrays"], partition="parts")
    assert config.data.root == str(tmp_path / "xrays")
    assert config.partition.folder == str(tmp_path / "parts")


def test_several_data_folders_are_joined_in_their_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = resolve(data=["stanford", "nih"])
    assert config.data.roots == (str(tmp_path / "stanford"), str(tmp_path / "nih"))


def test_data_from_elsewhere_are_given_a_folder_at_a_time(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert resolve().compare.external == ()
    one = resolve(external=["nih, the first"])
    assert one.compare.external == (str(tmp_path / "nih, the first"),)
    two = resolve(external=["nih", "vindr"])
    assert two.compare.external == (str(tmp_path / "nih"), str(tmp_path / "vindr"))


def test_a_sites_file_chooses_its_scheme(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = resolve(sites_file="who.csv").partition
    assert (config.scheme, config.sites_file) == ("sites-file", str(tmp_path / "who.csv"))


@pytest.mark.parametrize(("flag", "scheme"), [("alpha", "dirichlet"), ("exponent", "quantity")])
def test_the_flag_of_a_scheme_chooses_it(flag, scheme):
    assert resolve(**{flag: 0.5}).partition.scheme == scheme
    assert resolve(**{flag: 0.5, "scheme": scheme}).partition.scheme == scheme
    with pytest.raises(ConfigError, match=f"--{flag} belongs to --scheme {scheme}, not to iid"):
        resolve(**{flag: 0.5, "scheme": "iid"})


def test_flags_of_two_schemes_are_refused():
    with pytest.raises(ConfigError, match="--exponent belongs to --scheme quantity, not to diri"):
        resolve(alpha=0.5, exponent=1.0)


def test_a_flag_out_of_range_is_named_by_its_key():
    with pytest.raises(ConfigError, match=r"partition\.clients = 0"):
        resolve(clients=0)


def test_the_command_line_is_what_the_run_gets(monkeypatch, tmp_path, capsys):
    taken = []
    run = write_run(tmp_path / "run", labels=("Edema",), undefined=("Edema",), gradcam=False)

    def record(config, on_start=None):
        taken.append(config)
        return FinishedRun(run, {})

    # by name, since the package re-exports the function under the module's name
    module = importlib.import_module("fedcxr.experiments.simulate")
    monkeypatch.setattr(module, "simulate", record)
    arguments = (
        "simulate --quiet --clients 7 --rounds 3 --scheme dirichlet --alpha 0.1 --labels Edema "
        "--learning-rate 3e-4 --engine ray --workers 2 --views all --score-by study --seed 5 "
        "--normalization pooled --batch-norm local --set train.augment.flip=0"
    )
    cli(arguments.split(), standalone_mode=False)
    (config,) = taken
    assert (config.partition.clients, config.server.rounds, config.seed) == (7, 3, 5)
    assert (config.partition.scheme, config.partition.alpha) == ("dirichlet", 0.1)
    assert (config.train.learning_rate, config.train.normalization) == (3e-4, "pooled")
    assert (config.engine.kind, config.engine.workers) == ("ray", 2)
    assert (config.data.views, config.data.score_by, config.data.labels) == (
        "all",
        "study",
        ("Edema",),
    )
    assert (config.server.batch_norm, config.train.augment.flip) == ("local", 0.0)
    assert "Global macro AUROC: not defined" in capsys.readouterr().out


def test_a_tilde_is_expanded_before_a_path_is_made_absolute(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    config = resolve(data=["~/a", "~/b"], partition="~/P", sites_file="~/s.csv")
    assert config.data.roots == ("/home/ada/a", "/home/ada/b")
    assert config.partition.folder == "/home/ada/P"
    assert config.partition.sites_file == "/home/ada/s.csv"


@pytest.mark.parametrize(
    "arguments",
    [
        ["report", "~/none"],
        ["resume", "~/none"],
        ["evaluate", "~/none", "--data", "d"],
        ["predict", "~/none", "a.png"],
        ["check-data", "~/none"],
        ["simulate", "--config=~/none"],
        ["compare", "--arm=mine=~/none"],
        ["selftest", "stats", "--write-only", "--out=~/none"],
        ["plan-study", "~/none"],
    ],
    ids=" ".join,
)
def test_a_tilde_that_the_shell_left_is_expanded_in_every_verb(arguments, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "ada"))
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli, arguments)
    assert f"{tmp_path}/ada/none" in str(done.exception)
    assert list(tmp_path.iterdir()) == []


def test_an_output_below_a_tilde_goes_there(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "ada"))
    monkeypatch.chdir(tmp_path)
    given = ["synth", "--out=~/data", "--patients", "6", "--size", "32"]
    assert CliRunner().invoke(cli, given).exit_code == 0
    given = ["check-data", "~/data", "--labels-only", "--json=~/a.json", "--html=~/a.html"]
    assert CliRunner().invoke(cli, given).exit_code in (0, 3)
    given = ["partition", "--out=~/P", "--clients=2", "~/data"]
    CliRunner().invoke(cli, given)
    assert {"data", "a.json", "a.html"} <= {path.name for path in (tmp_path / "ada").iterdir()}
    assert [path.name for path in tmp_path.iterdir()] == ["ada"]


def test_a_task_starts_its_study_from_its_own_preset_and_every_key_can_be_changed(monkeypatch):
    asked = []
    monkeypatch.setattr(verb, "run", lambda config, arms, quiet: asked.append(config))

    def ask(*words):
        found = CliRunner().invoke(cli, ["augment-study", *words])
        assert found.exit_code == 0, found.output
        return asked[-1]

    plain = ask()
    assert (plain.name, plain.compare.models, plain.data.task) == ("quickstart", (), None)
    lesion = ask("--task", "lung-lesion", "--image-size", "64")
    assert lesion.name == "lung-lesion"
    assert lesion.compare.models == ("alexnet", "densenet121")
    assert lesion.partition.class_sizes.train == (6488, 6287)
    assert (lesion.model.image_size, lesion.model.weights) == (64, "imagenet")
    assert ask("--task", "lung-lesion", "--models", "resnet50").compare.models == ("resnet50",)
    other = ask("--task", "lung-lesion", "--preset", "quickstart")
    assert (other.name, other.partition.class_sizes) == ("quickstart", None)
