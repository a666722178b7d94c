"""The whole at once: run, demo, inspect."""
