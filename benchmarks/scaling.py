"""Time and memory of a federation against its clients, rounds, image size and model.

Each arm is one `fedcxr simulate` in a child process at its default number of workers, on synthetic
data. Against clients the images are the same, only in the hands of more sites, so that what more
clients cost shows. Memory is the proportional set size: of the server, and of all processes
together.

    python -m benchmarks.scaling            # 5 to 1,000 clients; about 5 minutes
    python -m benchmarks.scaling --short    # 5 and 100 clients on fewer images; under a minute
"""

import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.federations import SMALL, Ended, run_federation
from benchmarks.result import Result, Row, Table, run_as_command, spread

LONGEST_S = 400.0
IMAGE_SIZE = "model.image_size"
PATIENTS = "data.synthetic.patients"
FEW: Mapping[str, object] = {"partition.clients": 20, PATIENTS: 300}
MOST_PATIENTS = 3_000
"""Enough for 1,000 sites: each needs two patients of its own, and the server keeps some."""
LONG: Mapping[str, Sequence[Mapping[str, object]]] = {
    "clients": [{"partition.clients": n, PATIENTS: MOST_PATIENTS} for n in (5, 20, 100, 1_000)],
    "rounds": [{**FEW, "server.rounds": n} for n in (3, 12)],
    "image size": [{**FEW, IMAGE_SIZE: n, "data.synthetic.size_px": n} for n in (64, 128)],
    "model": [{**FEW, "model.name": "densenet121"}, {**FEW, "model.name": "resnet50"}],
}
SHORT: Mapping[str, Sequence[Mapping[str, object]]] = {
    "clients": [{"partition.clients": n, PATIENTS: 400} for n in (5, 100)]
}


@dataclass(frozen=True)
class Arm:
    """One federation and how it went."""

    varied: str
    settings: Mapping[str, Any]
    ended: Ended

    @property
    def later(self) -> list[dict[str, Any]]:
        """The rounds after the first, in which every process still warms up."""
        return self.ended.rounds[2:]

    @property
    def seconds_a_round(self) -> list[float]:
        """With the scoring of the model on the server's val patients."""
        return [float(line["seconds"]) for line in self.later]


def scaling(short: bool) -> Result:
    """Run all arms, one after another."""
    arms = []
    with tempfile.TemporaryDirectory(prefix="fedcxr-scaling-") as folder:
        for varied, ways in (SHORT if short else LONG).items():
            for way in ways:
                settings = {**SMALL, "server.rounds": 3, **way}
                ended = run_federation(Path(folder), settings, timeout_s=LONGEST_S)
                arms.append(Arm(varied, settings, ended))
    by_clients = [arm for arm in arms if arm.varied == "clients"]
    return Result(
        name="scaling",
        title="Time and memory against clients, rounds, image size and model",
        command="python -m benchmarks.scaling",
        short=short,
        rows=rows(by_clients),
        tables=[speed_table(arms), phases_table(by_clients)],
        notes=[
            "Synthetic data, one epoch a round, the default number of workers, precision by probe. "
            "Against clients the images are the same, spread over more sites.",
            "A round: median of those after the first, with the lowest and highest. Its images/s "
            "are of the training alone, with sending, waiting and aggregating.",
            "Memory is the highest proportional set size from the first round on: of the server, "
            "and of it and its workers together. The first run over some data also draws them, "
            "which leaves some 50 MB in its server.",
            "A site's batches are its own: 5 images a site make batches of 5 where 985 make "
            "batches of 32, and the smaller the batch, the slower an image.",
        ],
        figures={"arms": [figures(arm) for arm in arms]},
    )


def rows(by_clients: Sequence[Arm]) -> list[Row]:
    """Return what the most clients cost against the fewest."""
    fewest, most = by_clients[0], by_clients[-1]
    few, many = (int(arm.settings["partition.clients"]) for arm in (fewest, most))
    grown = most.ended.peaks.own - fewest.ended.peaks.own
    times = statistics.median(most.seconds_a_round) / statistics.median(fewest.seconds_a_round)
    answered = min(len(line["sites"]) for line in most.ended.rounds[1:])
    return [
        Row(
            f"sites that answered in each round, of {many:,}",
            "all",
            f"{answered:,}",
            answered == many,
        ),
        Row(f"server's peak memory, {many:,} clients against {few}", "", f"{grown / 1e6:+.0f} MB"),
        Row(f"a round, same images, {many:,} clients against {few}", "", f"× {times:.1f}"),
    ]


def speed_table(arms: Sequence[Arm]) -> Table:
    """Return a line an arm."""
    header = ["varied", "clients", "model", "px", "precision", "rounds", "images a round"]
    header += ["a round, s", "images/s", "server, MB", "all processes, MB"]
    lines = []
    for arm in arms:
        s, peaks = arm.settings, arm.ended.peaks
        rate = statistics.median(line["images_per_second"] for line in arm.later)
        lines.append(
            [
                *(arm.varied, f"{s['partition.clients']:,}", s["model.name"], f"{s[IMAGE_SIZE]}"),
                *(arm.ended.manifest["precision"]["dtype"], f"{s['server.rounds']}"),
                *(f"{arm.later[0]['images']:,}", spread(arm.seconds_a_round), f"{rate:,.0f}"),
                *(f"{peaks.own / 1e6:,.0f}", f"{peaks.family / 1e6:,.0f}"),
            ]
        )
    return Table("", header, lines)


def phases_table(arms: Sequence[Arm]) -> Table:
    """Return where the time of a whole run goes."""
    names = {
        "prepare": "data and partition",
        "join": "first query",
        "train": "training",
        "evaluate": "scoring",
        "report": "report",
    }
    lines = []
    for arm in arms:
        seconds = [arm.ended.summary["phases"][name] for name in names]
        clients = f"{arm.settings['partition.clients']:,}"
        lines.append([clients, *(f"{second:.1f}" for second in seconds)])
    rounds = arms[0].settings["server.rounds"]
    caption = f"Seconds of a whole run of {rounds} rounds, without the starting of Python"
    return Table(caption, ["clients", *names.values()], lines)


def figures(arm: Arm) -> dict[str, Any]:
    """Return an arm's numbers."""
    return {
        "varied": arm.varied,
        "settings": dict(arm.settings),
        "workers": arm.ended.manifest["workers"],
        "precision": arm.ended.manifest["precision"],
        "seconds_a_round": arm.seconds_a_round,
        "images_per_second": [line["images_per_second"] for line in arm.later],
        "server_peak_bytes": arm.ended.peaks.own,
        "all_peak_bytes": arm.ended.peaks.family,
        "phases_seconds": arm.ended.summary["phases"],
    }


if __name__ == "__main__":
    run_as_command(scaling, __doc__)
