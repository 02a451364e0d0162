"""`python -m service`: the same as `separatrix`."""

from service.cli import app

if __name__ == "__main__":
    app()
