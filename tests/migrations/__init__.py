"""What the revisions and the migrator promise."""
