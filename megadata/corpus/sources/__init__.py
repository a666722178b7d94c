"""One module per kind of raw input."""
