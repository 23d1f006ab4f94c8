"""The networks: one door (`registry.build_model`), one input channel, one logit a label."""
