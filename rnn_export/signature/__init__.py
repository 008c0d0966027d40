"""What a call looks like: names, dtypes and shapes of its tensors, and how its values are nested."""
