"""Token ids on disk, and which of them make sample k. Imports numpy and the standard library only."""
