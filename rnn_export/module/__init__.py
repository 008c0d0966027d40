"""What comes in: the user's module, how it is called, which axes are which, whether it can be streamed."""
