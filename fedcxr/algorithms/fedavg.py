"""Federated averaging: the global model moves by the weighted mean of the sites' updates.

Source: McMahan et al. 2017, "Communication-efficient learning of deep networks from decentralized
data", Algorithm 1. There the sites' models are averaged, here their updates, which is the same:
Σ (nₖ/n)·wₖ = w + Σ (nₖ/n)·(wₖ − w).
"""

from fedcxr.algorithms.protocol import Algorithm, mean_step

ALGORITHMS = {"fedavg": Algorithm("FedAvg (McMahan et al. 2017)", mean_step)}
