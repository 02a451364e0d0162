"""The program `separatrix`, also as `python -m service`."""

import signal


def main() -> None:
    """Runs the command line. Ctrl-C during its imports ends it without a traceback."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # a shell may have set it to be ignored
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from service.cli import app

    signal.signal(signal.SIGINT, before)
    app()


if __name__ == "__main__":
    main()
