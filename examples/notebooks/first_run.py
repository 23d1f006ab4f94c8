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
# # A first run
#
# Three simulated hospitals train one model without pooling their images. The radiographs are made
# up here, so nothing has to be downloaded; they are few and small, so that this takes seconds and
# the model learns little. Leave `set`, `rounds` and `image_size` out for the real quickstart.

# %%
import fedcxr

SMALL = {"data.synthetic.patients": 120, "data.synthetic.size_px": 48, "explain.labels": 1}

run = fedcxr.simulate(clients=3, rounds=2, image_size=32, set=SMALL)
run

# %% [markdown]
# The result shows itself. Its tables are DataFrames: the AUROC on held-out patients with its
# interval, what each round gave, what each hospital has.

# %%
run.auroc.head()

# %%
run.rounds[["round", "train_loss", "val_macro_auroc", "seconds"]]

# %%
run.sites

# %% [markdown]
# The figure is matplotlib's underneath. `run.figures` has every one of the report, by name.

# %%
run.figure.figure.savefig(run.path / "scores.pdf")

# %% [markdown]
# The probabilities that all of it was computed from: here, the AUROC of a label once more.

# %%
from sklearn.metrics import roc_auc_score

label = run.auroc.dropna(subset=["auroc"])["label"].iloc[1]
told = run.predictions.query("label == @label and split == 'test'").dropna()
again = roc_auc_score(told["target"].astype(int), told["probability"])
assert abs(again - run.auroc.set_index("label").loc[label, "auroc"]) < 1e-6
label, again

# %% [markdown]
# The page with all of it lies in the run's folder; a later session opens it again by that.

# %%
assert fedcxr.open(run.path).auroc.equals(run.auroc)
run.report.name
