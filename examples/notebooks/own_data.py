# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Your own data
#
# Any table of radiographs, with columns of its own: a `dataset.yaml` beside it says what they mean
# (`fedcxr init-data DIR` proposes one). Here a table of two hospitals is made first; put your own
# folder in its place.

# %%
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
from PIL import Image

folder = Path(mkdtemp()) / "films"
(folder / "pictures").mkdir(parents=True)
random = np.random.default_rng(0)
lines = ["file,person,view,hospital,findings"]
for number in range(120):
    ill = number % 3 == 0
    pixels = random.normal(110, 30, (64, 64))
    if ill:
        pixels[20:40, 10:30] += 70
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"pictures/{number}.png")
    finding = "Opacity" if ill else "none"
    hospital = "north" if number % 2 else "south"
    lines.append(f"pictures/{number}.png,P{number:03d},PA,{hospital},{finding}")
(folder / "films.csv").write_text("\n".join(lines) + "\n")

# %%
(folder / "dataset.yaml").write_text(
    """
table: films.csv
path: file
patient: person
view: {column: view, frontal: [PA]}
site: hospital
labels: {Opacity: [Opacity]}
findings: {column: findings, none: [none]}
"""
)

# %% [markdown]
# What is wrong with it, before anything trains:

# %%
import fedcxr

check = fedcxr.check_data(folder)
check

# %% [markdown]
# Each hospital keeps its own patients. The partition proves that no patient is in two of them.

# %%
partition = fedcxr.partition(
    out=folder.parent / "plan", data=folder, scheme="by-attribute", attribute="site"
)
partition

# %%
run = fedcxr.simulate(data=folder, partition=partition.path, rounds=3, image_size=32)
run
