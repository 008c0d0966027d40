"""What runs when, which products become one, and where values are kept."""
