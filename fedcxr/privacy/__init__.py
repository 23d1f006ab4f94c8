"""Differential privacy: pure arithmetic, arrays in and arrays out."""
