"""Raw files to clean, unique documents."""
