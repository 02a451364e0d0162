"""The steps from the first tables to those of today, as scripts of Alembic in `versions`, and what applies them."""
