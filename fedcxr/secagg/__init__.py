"""Secure aggregation: masks, keys and shares by which a server learns sums and no summand."""
