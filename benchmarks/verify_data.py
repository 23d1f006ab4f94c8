"""The data layer's verbs, run whole: check-data, prepare, partition, a by-source federation.

Checks every folder of the sample radiographs, partitions a synthetic CheXpert of 5,000 patients
with every scheme, and trains over a partition by source of synthetic CheXpert and synthetic NIH.
Prints what each command said last and its exit code; exit 1 where a code is not the expected one.

    FEDCXR_SAMPLE_DATA=DIR python -m benchmarks.verify_data
"""

import csv
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FOLDERS = {
    "nih14": 0,
    "chexpert_layout_nih_pixels": 0,
    "nih14_64px": 3,
    "nih_onehot_csv": 3,
    "chexlocalize_format": 0,
}
"""Sample folder → exit code of check-data: 0 clean, 3 not."""

SCHEMES = (
    ["--scheme", "iid"],
    ["--scheme", "dirichlet", "--alpha", "0.3"],
    ["--scheme", "quantity"],
    ["--scheme", "by-attribute", "--attribute", "projection"],
    ["--scheme", "by-attribute", "--attribute", "age_band"],
    ["--scheme", "hospitals", "--clients", "6"],
    ["--folds", "5"],
)


def main() -> None:
    """Run everything and exit 1 if a command did not end as expected."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        os.environ["FEDCXR_HOME"] = str(work / "home")
        ends = [*check_samples(), *partition_all(work), *train_by_source(work)]
    wrong = [line for line, is_right in ends if not is_right]
    print(f"\n{len(ends)} commands, {len(wrong)} ended otherwise than expected")
    print("\n".join(wrong))
    sys.exit(1 if wrong else 0)


def run(*words: str, code: int = 0) -> tuple[str, bool]:
    """Run `fedcxr WORDS`, print its output and time; return the line and whether it ended so."""
    line = "fedcxr " + " ".join(words)
    print(f"\n$ {line}", flush=True)
    begun = time.monotonic()
    found = subprocess.run([sys.executable, "-m", "fedcxr", *words], check=False).returncode
    print(f"[exit {found}, expected {code}; {time.monotonic() - begun:.1f} s]", flush=True)
    return line, found == code


def check_samples() -> list[tuple[str, bool]]:
    """Check every folder of the sample radiographs, where they are."""
    named = os.environ.get("FEDCXR_SAMPLE_DATA")
    if not named:
        print("FEDCXR_SAMPLE_DATA is not set: the sample radiographs are not checked")
        return []
    return [run("check-data", str(Path(named) / name), code=code) for name, code in FOLDERS.items()]


def partition_all(work: Path) -> list[tuple[str, bool]]:
    """Partition a synthetic CheXpert of 5,000 patients with every scheme."""
    data = work / "chexpert"
    ends = [run("synth", "--out", str(data), "--patients", "5000", "--size", "64")]
    ends += [
        run("partition", str(data), "--out", str(work / "partitions" / str(i)), *scheme)
        for i, scheme in enumerate(SCHEMES)
    ]
    given = sites_file(data / "CheXpert-v1.0-small", work / "given.csv")
    out = str(work / "partitions" / "given")
    ends.append(run("partition", str(data), "--sites-file", str(given), "--out", out))
    too_much = ("partition", str(data), "--min-positives", "100000", "--out", str(work / "none"))
    return [*ends, run(*too_much, code=2)]


def sites_file(root: Path, path: Path) -> Path:
    """Write the table of the hospitals that the synthetic patients come from."""
    with (root / "sites.csv").open(newline="") as file:
        rows = [(row["patient_id"], row["site"]) for row in csv.DictReader(file)]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("patient_id", "site"), *rows])
    return path


def train_by_source(work: Path) -> list[tuple[str, bool]]:
    """Prepare, partition and train over synthetic CheXpert and synthetic NIH together."""
    stanford, nih, out = str(work / "small"), str(work / "nih"), str(work / "by-source")
    runs = str(work / "runs")
    both = ("--data", stanford, "--data", nih)
    few = ("--rounds", "4", "--runs-dir", runs)
    return [
        run("synth", "--out", stanford, "--patients", "600"),
        run("synth", "--out", nih, "--patients", "600", "--layout", "nih14", "--seed", "1"),
        run(
            "partition",
            str(work / "chexpert"),
            nih,
            "--scheme",
            "by-source",
            "--out",
            str(work / "partitions" / "by-source"),
        ),
        run("check-data", stanford),
        run("check-data", nih),
        run("prepare", stanford, nih, "--size", "64"),
        run("partition", stanford, nih, "--scheme", "by-source", "--clients", "4", "--out", out),
        run("simulate", *both, "--partition", out, *few),
    ]


if __name__ == "__main__":
    main()
