"""Compiled loops over flat arrays: numpy and numba only. `base` is the one module the others share."""
