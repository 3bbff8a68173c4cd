"""Sessions between stores, and into files and out of them."""
