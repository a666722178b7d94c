"""Documents to token ids: train a tokenizer, encode, write."""
