"""Reading the session tables that agno's own storage classes have written, whichever release they were of."""
