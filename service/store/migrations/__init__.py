"""The steps from the first tables to the present ones, as scripts of Alembic in `versions`, and what applies them."""
