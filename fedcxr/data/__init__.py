"""Chest radiographs and their labels: readers, image decoding, the cache, synthetic data."""
