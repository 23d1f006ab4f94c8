"""What is wrong with a data set, told before anything trains on it."""
