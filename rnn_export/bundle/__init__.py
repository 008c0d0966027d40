"""The folder that is shipped: its files, manifest and golden vectors, written whole or not at all."""
