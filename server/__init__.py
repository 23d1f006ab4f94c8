"""The server: asks, checks, aggregates, evaluates, explains."""
