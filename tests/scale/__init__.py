"""Stores on more than one server: standbys, clusters, poolers, partitions."""
