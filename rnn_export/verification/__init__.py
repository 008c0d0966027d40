"""Is every file equal to eager PyTorch? The calls that are tried, what may differ, and the verdict."""
