"""FedBN: each site keeps its own batch norms, weights and statistics, and shares the rest.

Source: Li et al. 2021, "FedBN: Federated learning on non-IID features via local batch
normalization", Algorithm 1: every parameter but those of batch norm is averaged. A site's model is
the shared part with its own batch norms, so its own scores are those that count. The server has no
site's batch norms; its model keeps those that it began with, with statistics measured anew on its
validation images.

`server.batch_norm: local` is the variant in which the statistics alone stay at the site.
"""

from collections.abc import Sequence

from fedcxr.algorithms.protocol import Algorithm, mean_step


def batch_norm_tensors(names: Sequence[str]) -> frozenset[str]:
    """Return the tensors of every batch norm: each has a running mean.

    >>> sorted(batch_norm_tensors(["conv.weight", "bn.weight", "bn.running_mean"]))
    ['bn.running_mean', 'bn.weight']
    """
    tail = ".running_mean"
    norms = {name.removesuffix(tail) for name in names if name.endswith(tail)}
    return frozenset(name for name in names if name.rpartition(".")[0] in norms)


ALGORITHMS = {"fedbn": Algorithm("FedBN (Li et al. 2021)", mean_step, private=batch_norm_tensors)}
