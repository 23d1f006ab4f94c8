"""What `fedcxr init-data` proposes: a `dataset.yaml` with a reason for each line."""
