"""A loop that a trace unrolled, rolled up again."""
