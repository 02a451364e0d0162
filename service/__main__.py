"""The program `separatrix`, also as `python -m service`."""

import signal


def main() -> None:
    """Runs the command line. An interruption while its modules are imported ends it without a traceback."""
    usual = signal.getsignal(signal.SIGINT)
    if usual is signal.default_int_handler:  # or else the signal is ignored, as in the background of a shell
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from service.cli import app

    signal.signal(signal.SIGINT, usual)
    app()


if __name__ == "__main__":
    main()
