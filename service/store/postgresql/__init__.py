"""Code that only PostgreSQL needs and that imports its driver. Not here: SQL, which is the same for both databases."""
