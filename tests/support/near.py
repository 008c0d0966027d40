"""Lengths and batches for tests of what does not depend on them, in the place of those that are far away."""

from rnn_export.verification import grid

NEAR = ((40, 1), (grid.FEW, 33))  # time steps and rows
