"""Clients that generators make from the OpenAPI document compile, and work with a real service."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.clients.tools import HERE, TOOLS, run, tool
from tests.clients.typescript import program
from tests.serving import running, train

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A service with models under the names of the tutorial's."""
    with running(tmp_path_factory.mktemp("service")) as client:
        for name in ("flower-sequential", "flower-module"):
            train(client, name)
        yield client


@pytest.fixture(scope="module")
def document(service: httpx.Client) -> dict[str, Any]:
    document: dict[str, Any] = service.get("/openapi.json").json()
    return document


def test_a_typescript_client_with_the_requests_of_the_readme_compiles_strictly_and_runs(
    service: httpx.Client, document: dict[str, Any], tmp_path: Path
) -> None:
    modules = tool("node_modules")
    (tmp_path / "node_modules").symlink_to(modules)
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    (tmp_path / "readme.ts").write_text(program(document))
    for file in ("package.json", "tsconfig.json", "usage.ts"):
        (tmp_path / file).write_text((HERE / file).read_text())
    run(modules / ".bin/openapi-typescript", "openapi.json", "-o", "schema.ts", cwd=tmp_path)
    run(modules / ".bin/tsc", cwd=tmp_path)
    for one in ("readme", "usage"):
        run("node", f"built/{one}.js", str(service.base_url), cwd=tmp_path)


def test_a_generated_python_client_works(service: httpx.Client, document: dict[str, Any], tmp_path: Path) -> None:
    generator = tool("bin", "openapi-python-client")
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    package = tmp_path / "separatrix_client"
    run(generator, "generate", "--path", "openapi.json", "--output-path", package, "--meta", "none", cwd=tmp_path)
    run(TOOLS / "bin/python", HERE / "usage.py", tmp_path, str(service.base_url), cwd=tmp_path)
