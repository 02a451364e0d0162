"""Programs that others write against the OpenAPI document: generated clients, and Schemathesis.

Their tools are installed by `make test` in `.venv/clients`, apart from the packages of the project.
"""
