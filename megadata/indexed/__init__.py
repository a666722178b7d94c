"""Token ids on disk, and which of them make sample k: numpy and the standard library only."""
