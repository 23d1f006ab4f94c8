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
# # A comparison for a paper
#
# Do hospitals lose accuracy by not pooling their images? The same held-out patients and the same
# first weights for every arm; the margin is fixed before anything trains. This one is far too small
# to decide anything: a paper's has `seeds=5` or more, its own data, every label, and no `set`.

# %%
import fedcxr

SMALL = {"data.synthetic.patients": 120, "data.synthetic.size_px": 48, "explain.labels": 1}

found = fedcxr.compare(
    clients=3,
    rounds=1,
    image_size=32,
    seeds=1,
    arms=["federated", "centralized"],
    labels=["Edema", "Pleural Effusion"],
    set=SMALL,
)
found

# %% [markdown]
# The question's answer, with the interval that it rests on:

# %%
found.differences

# %%
found.tables["arms"]

# %% [markdown]
# A figure for the paper, as matplotlib has it. `found.figures` has every one of the report.

# %%
found.figure.figure.savefig(found.path / "figure-1.pdf")

# %% [markdown]
# Everything that was computed is in the folder, as CSV, LaTeX and Parquet too:

# %%
sorted(path.name for path in (found.path / "tables").iterdir())[:5]
