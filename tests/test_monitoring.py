"""The files for Prometheus and Grafana name metrics that the service has, and the rules fire when they should."""

import json
import re
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.requirements import needs

FOLDER = Path(__file__).parent.parent / "docs" / "monitoring"


def exported(client: httpx.Client) -> set[str]:
    """The names of the series of a service that has answered a request."""
    client.get("/health/live")
    return set(re.findall("^(separatrix_[a-z_]+)", client.get("/metrics").text, re.MULTILINE))


def queries(part: object) -> list[str]:
    """Every query of a dashboard."""
    if isinstance(part, dict):
        own = [value for key, value in part.items() if key in ("expr", "query") and isinstance(value, str)]
        return own + [query for value in part.values() for query in queries(value)]
    return [query for value in part for query in queries(value)] if isinstance(part, list) else []


def test_the_dashboard_and_the_rules_name_metrics_that_the_service_exports(client: httpx.Client) -> None:
    dashboard = " ".join(queries(json.loads((FOLDER / "dashboard.json").read_text())))
    rules = (FOLDER / "alerts.yml").read_text()
    shown, watched = (set(re.findall("separatrix_[a-z_]+", text)) for text in (dashboard, rules))
    names = exported(client)
    assert shown | watched <= names
    in_families = {re.sub("_(bucket|count|sum)$", "", name) for name in names}
    assert in_families == {re.sub("_(bucket|count|sum)$", "", name) for name in shown}, "a metric has no panel"


@pytest.mark.slow
@pytest.mark.parametrize("what", [("check", "config", "prometheus.yml"), ("test", "rules", "alerts_test.yml")])
def test_prometheus_accepts_the_rules_and_they_fire(what: tuple[str, str, str]) -> None:
    needs("promtool", "prometheus")
    done = subprocess.run(["promtool", *what], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
