"""A plain Flower app whose clients train on nothing; `benchmarks/deployment.py` deploys it."""
