"""Documents as they travel and rest: batches, ids, shards."""
