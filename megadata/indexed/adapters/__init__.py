"""Our datasets in the terms of other libraries."""
