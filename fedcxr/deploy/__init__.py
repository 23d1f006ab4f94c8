"""A federation of real machines: its kits, and the processes that are started from them."""
