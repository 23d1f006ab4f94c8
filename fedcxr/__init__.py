"""fedcxr: federated learning for chest radiographs on Flower.

Import what you need from its rooms: `fedcxr.experiments.simulate` runs a federation,
`fedcxr.inference` uses a finished run's model, `fedcxr.data` reads CheXpert and NIH ChestX-ray14,
`fedcxr.metrics` scores predictions.
"""

from fedcxr.own_packages import claim_names

__version__ = "0.1.0"

claim_names()
