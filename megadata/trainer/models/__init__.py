"""GPT and BERT from one block."""
