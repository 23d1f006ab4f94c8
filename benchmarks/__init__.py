"""Speed as ratios, one command each: `python -m benchmarks.train_loop`."""
