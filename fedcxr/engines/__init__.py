"""How messages are carried: in this process, by local workers, or by Flower's Ray runtime."""
