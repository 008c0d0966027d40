"""How fast every file of a bundle is in every runtime."""
