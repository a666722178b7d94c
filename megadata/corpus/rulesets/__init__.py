"""Named, versioned rule-sets: thresholds as data."""
