"""Samples to checkpoints."""
