"""What only PostgreSQL needs, and imports its driver. Not here: SQL, which is the same for both databases."""
