"""The form of the log, as a process writes it."""

import json
import subprocess
import sys
from typing import Any

PROGRAM = """
import logging
from service import logs
logs.set_up({process!r}, "warning", {form!r})
log = logging.getLogger("service.somewhere")
log.info("hidden")
logs.AUDIT.info("audit: %s", "ada", extra={{"fields": {{"key": "ada", "status": 202}}}})
logs.request_id.set(b"abc-1")
logs.job_id.set("0123")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("two\\nlines")
"""


def logged(process: str, form: str) -> list[str]:
    """The lines that a process writes to its standard error."""
    program = PROGRAM.format(process=process, form=form)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return done.stderr.splitlines()


def test_text_has_a_level_and_the_audit_log_is_never_hidden() -> None:
    lines = logged("training", "text")
    assert lines[:2] == ["INFO:     [training] audit: ada", "ERROR:     [training] two"]
    assert lines[-1] == "ZeroDivisionError: division by zero"


def test_json_is_an_object_in_each_line_with_the_request_the_job_and_the_traceback() -> None:
    audit, error = (json.loads(line) for line in logged("serving", "json"))
    expected: dict[str, Any] = {"level": "info", "logger": "separatrix.audit", "process": "serving"}
    assert audit.items() >= (expected | {"message": "audit: ada", "key": "ada", "status": 202}).items()
    assert "request_id" not in audit
    assert error.items() >= {"level": "error", "message": "two\nlines", "request_id": "abc-1", "job_id": "0123"}.items()
    assert error["error"].startswith("Traceback")
    assert error["time"].endswith("+00:00")


def test_the_log_follows_a_standard_error_that_is_replaced_and_closed() -> None:
    program = """
import io, logging, sys
from service import logs
with io.StringIO() as replaced:
    usual, sys.stderr = sys.stderr, replaced
    logs.set_up("serving", "warning", "text")
    logging.warning("while replaced")
    assert replaced.getvalue().endswith("while replaced\\n")
    sys.stderr = usual
logging.warning("afterwards")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == "WARNING:     afterwards\n"
