"""What one row computes at one time step, as a graph of operations."""
