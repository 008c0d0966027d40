"""TorchScript: the module compiled with its loop kept."""
