"""The networks: one door (`architectures.build_model`), one input channel, one logit a label."""
