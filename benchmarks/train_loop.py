"""Training inside `simulate` against the best plain PyTorch loop, in one run.

The plain loop is the better of one process with 2 threads and two processes with 1 thread each,
over the same cached images with the same dtype, layout, batch size and augmentation. `simulate`
runs at its default number of workers; its figure is images over the rounds' training time, which
holds the sending, waiting and aggregating, without the first round (start-up on both sides).
Measured in turn, plain – simulate – plain, and the plain figure is the mean of its two.

    python -m benchmarks.train_loop --model densenet121 --image-size 64 --clients 5
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from fedcxr.config.load import load_config
from fedcxr.experiments.simulate import simulate
from fedcxr.home import home_folder

GOAL = 0.9


def main() -> None:
    """Measure and print the ratio; exit 1 below the goal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="densenet121")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--clients", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--local-epochs", type=int, default=3)
    parser.add_argument("--patients", type=int, default=1000)
    parser.add_argument("--json", type=Path, help="Write the figures here, too.")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as runs:
        manifest = run_simulate(args, Path(runs), rounds=1)["manifest"]
        before = plain(args, manifest)
        inside = run_simulate(args, Path(runs), rounds=args.rounds)
        after = plain(args, manifest)
    best = max((before[name] + after[name]) / 2 for name in before)
    ratio = inside["images_per_second"] / best
    figures = {
        "model": args.model,
        "image_size": args.image_size,
        "clients": args.clients,
        "workers": inside["manifest"]["workers"],
        "threads": inside["manifest"]["threads"],
        "precision": manifest["precision"],
        "plain_images_per_second": {name: [before[name], after[name]] for name in before},
        "simulate_images_per_second": inside["images_per_second"],
        "ratio": ratio,
    }
    print(table(figures))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n")
    sys.exit(0 if ratio >= GOAL else 1)


def run_simulate(args: argparse.Namespace, runs: Path, rounds: int) -> dict[str, Any]:
    """Run the federation and return its speed after the first round, and its manifest."""
    config = load_config(
        overrides={
            "model.name": args.model,
            "model.image_size": args.image_size,
            "partition.clients": args.clients,
            "server.rounds": rounds,
            "server.bootstrap": 100,
            "data.synthetic.patients": args.patients,
            "train.batch_size": 32,
            "train.local_epochs": args.local_epochs,
            "runs_dir": str(runs),
            "explain.max_boxes": 0,
            "explain.images_per_outcome": 0,
        }
    )
    run = simulate(config)
    lines = [json.loads(x) for x in (run.path / "rounds.jsonl").read_text().splitlines()]
    warm = [line for line in lines if line["round"] > 1] or lines[1:]
    seconds = sum(line["seconds_train"] for line in warm)
    return {
        "images_per_second": sum(line["images"] for line in warm) / seconds,
        "manifest": json.loads((run.path / "manifest.json").read_text()),
    }


def plain(args: argparse.Namespace, manifest: dict[str, Any]) -> dict[str, float]:
    """Return the images a second of both plain set-ups."""
    return {
        "one process, 2 threads": plain_rate(args, manifest, processes=1, threads=2),
        "two processes, 1 thread": plain_rate(args, manifest, processes=2, threads=1),
    }


def plain_rate(
    args: argparse.Namespace, manifest: dict[str, Any], *, processes: int, threads: int
) -> float:
    """Return the images a second of `processes` loops that start together."""
    images = 32 * max(8, round(args.patients / 40))
    precision = manifest["precision"]
    command = [
        *(sys.executable, "-m", "benchmarks.plain_loop"),
        *("--cache", str(home_folder() / "cache" / manifest["cache_digest"])),
        *("--model", args.model, "--image-size", str(args.image_size), "--batch-size", "32"),
        *("--images", str(images // processes), "--threads", str(threads)),
        *("--dtype", precision["dtype"]),
        *(["--channels-last"] if precision["channels_last"] else []),
    ]
    loops = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(processes)
    ]
    for loop in loops:
        if loop.stdout is None or loop.stdout.readline().strip() != "ready":
            raise RuntimeError("a plain loop did not start")
    for loop in loops:
        if loop.stdin is not None:
            loop.stdin.write("go\n")
            loop.stdin.flush()
    told = [json.loads(loop.communicate(timeout=600)[0]) for loop in loops]
    took = max(t["ended"] for t in told) - min(t["begun"] for t in told)
    return sum(t["images"] for t in told) / took


def table(figures: dict[str, Any]) -> str:
    """Return the figures as a Markdown table."""
    rows = [
        f"| plain loop, {name} | {a:.0f} and {b:.0f} |"
        for name, (a, b) in figures["plain_images_per_second"].items()
    ]
    pair = figures["precision"]
    return "\n".join(
        [
            f"{figures['model']}, {figures['image_size']} px, {figures['clients']} clients, "
            f"{figures['workers']} workers, {pair['dtype']}"
            f"{' + channels_last' if pair['channels_last'] else ''}",
            "",
            "| what | images/s |",
            "|---|---|",
            *rows,
            f"| inside simulate | {figures['simulate_images_per_second']:.0f} |",
            f"| **ratio to the better plain loop** | **{figures['ratio']:.3f}** |",
        ]
    )


if __name__ == "__main__":
    main()
