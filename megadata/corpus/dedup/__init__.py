"""Exact and near-duplicate removal, verified and explained."""
