"""Attacks on a run's privacy, to know what it gives away: pure arithmetic of what models say."""
