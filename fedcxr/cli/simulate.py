"""`fedcxr simulate`."""

from fedcxr.cli import options as o
from fedcxr.cli.flags import KEYS, config_from_flags


def simulate(
    preset: o.Preset = "quickstart",
    config: o.ConfigFile = None,
    settings: o.Settings = None,
    name: o.Name = None,
    seed: o.Seed = None,
    runs_dir: o.RunsDir = None,
    quiet: o.Quiet = False,
    data: o.Data = None,
    views: o.Views = None,
    labels: o.Labels = None,
    score_by: o.ScoreBy = None,
    uncertain: o.Uncertain = None,
    label_table: o.LabelTable = None,
    partition: o.PartitionFolder = None,
    clients: o.Clients = None,
    scheme: o.Scheme = None,
    alpha: o.Alpha = None,
    exponent: o.Exponent = None,
    attribute: o.Attribute = None,
    sites_file: o.SitesFile = None,
    min_images: o.MinImages = None,
    min_positives: o.MinPositives = None,
    folds: o.Folds = None,
    fold: o.Fold = None,
    rounds: o.Rounds = None,
    fraction: o.Fraction = None,
    local_epochs: o.LocalEpochs = None,
    batch_size: o.BatchSize = None,
    learning_rate: o.LearningRate = None,
    model: o.Model = None,
    image_size: o.ImageSize = None,
    weights: o.Weights = None,
    normalization: o.Normalization = None,
    batch_norm: o.BatchNorm = None,
    engine: o.Engine = None,
    workers: o.Workers = None,
    threads_per_client: o.Threads = None,
    device: o.Device = None,
    precision: o.Precision = None,
    ray_address: o.RayAddress = None,
) -> None:
    """Train a federation of simulated hospitals and write its report.

    Without `--data` a synthetic data set is made. Ctrl-C keeps what was reached; go on with
    `fedcxr resume RUN`.
    """
    given = {flag: value for flag, value in locals().items() if flag in KEYS}
    resolved = config_from_flags(given, preset=preset, file=config, settings=settings or [])

    from fedcxr.cli.outcome import print_outcome, progress_for
    from fedcxr.experiments.simulate import simulate as run_simulation

    with progress_for(quiet) as follow:
        run = run_simulation(resolved, on_start=follow)
    print_outcome(run.path, run.summary)
