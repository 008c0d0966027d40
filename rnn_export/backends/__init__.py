"""What writes a file that is shipped; one file a format."""
