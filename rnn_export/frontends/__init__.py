"""What turns a module, or a file, into something that can be compiled further; one file a way."""
