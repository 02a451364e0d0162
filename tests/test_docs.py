"""The documentation matches the program."""

import json
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

import service.app
from models import limits, specs
from service import records
from service.access import keys
from service.api.jobs import events, requests
from service.api.jobs.requests import GeneratedData, NetworkSettings, TrainingSettings
from service.cli import app
from service.http import connections
from service.http.bodies import request_body
from service.jobs import spaces
from service.settings import Settings
from tests import readme
from tests.error_messages import document
from tests.readme import README

ROOT = Path(__file__).parent.parent
API = (ROOT / "docs" / "api.md").read_text()


def test_the_table_of_settings_is_what_the_program_says() -> None:
    rows = [f"| `{name}` | `{field.default}` | {field.description} |" for name, field in Settings.model_fields.items()]
    documented = (ROOT / "docs" / "settings.md").read_text().splitlines()
    assert [line for line in documented if line.startswith("| `")] == rows


def longest(pattern: str) -> int:
    """The number of characters of the longest text that a pattern of names allows."""
    return max(length for length in range(1_000) if re.fullmatch(pattern, "a" * length))


def test_the_table_of_limits_has_the_values_of_the_program() -> None:
    modules = (limits, request_body, connections, keys, spaces, requests, events, records, service.app)
    constants = {name: value for module in modules for name, value in vars(module).items() if name.isupper()}
    constants |= {"MAX_MARKS": "; ".join(f"{most:,}" for _, most in request_body.MAX_MARKS.values())}
    constants |= {"NAME_PATTERN": longest(records.NAME_PATTERN)}
    rows = re.findall(r"^\| .* \| (.*) \| `(\w+)` \|", (ROOT / "docs" / "limits.md").read_text(), re.MULTILINE)
    values = {name: field.default for name, field in Settings.model_fields.items()} | constants
    values["max_requests_per_s"] = values["max_requests_per_s"] or "no limit"
    assert len(rows) > 50
    for shown, name in rows:
        value = values[name]
        forms = {value} if isinstance(value, str) else {str(value), f"{value:,}", f"{value:,.0f}"}
        assert shown in forms, name


@pytest.mark.slow
def test_every_setting_is_an_option_of_serve_with_its_default_and_its_variable() -> None:
    shown = help_of("serve")
    for name, field in Settings.model_fields.items():
        assert f"--{name.replace('_', '-')} " in shown
        assert f"SEPARATRIX_{name.upper()})" in shown
        assert field.default is None or f"(default {field.default};" in shown


def test_every_option_of_train_has_a_description() -> None:
    shown = help_of("train")
    for schema in (GeneratedData, NetworkSettings, TrainingSettings):
        for name, field in schema.model_fields.items():
            if name == "type":
                continue
            assert field.description, name
            assert name == "class_weight" or field.description.replace("`", "") in shown
    assert "such as yes=2; once for each label. Or balanced, by which" in shown
    assert '{"yes"' not in shown, "the option takes no object"


def help_of(command: str) -> str:
    """The help of a command, its words separated by single spaces."""
    return " ".join(CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "1000"}).stdout.split())


@pytest.mark.slow
def test_every_route_is_documented_and_every_documented_route_exists(client: httpx.Client) -> None:
    documented = set(re.findall(r"^\| `(GET|POST|PUT|DELETE) (\S+)` \|", API, re.MULTILINE))
    paths = client.get("/openapi.json").json()["paths"]
    assert documented == {(method.upper(), path) for path, methods in paths.items() for method in methods}


@pytest.mark.slow
def test_every_parameter_of_a_boundary_grid_is_in_the_api_page_and_in_the_openapi_document(
    client: httpx.Client,
) -> None:
    section = API.partition("## Boundary grids")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`.*?) \| .* \| .* \|$", section, re.MULTILINE)
    documented = [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]
    parameters = client.get("/openapi.json").json()["paths"]["/boundary-grid"]["get"]["parameters"]
    shown = {one["name"]: one for one in parameters if one["in"] == "query"}
    assert documented == list(shown)
    assert all(one["description"] for one in shown.values())


def test_every_setting_of_a_training_is_documented() -> None:
    documented = re.findall(
        r"^\| `(\w+)` \| .* \| .* \|$", API.partition("## Training settings")[2].partition("## ")[0], re.MULTILINE
    )
    assert documented == list(TrainingSettings.model_fields)


def test_every_setting_of_a_network_and_of_a_generator_is_documented() -> None:
    for heading, model in (("## Network settings", NetworkSettings), ("## Generators", GeneratedData)):
        section = API.partition(heading)[2].partition("## ")[0]
        documented = re.findall(r"^\| `(\w+)` \| .* \| .* \|$", section, re.MULTILINE)
        assert documented == [name for name in model.model_fields if name != "type"], heading


def test_every_kind_activation_and_generator_is_in_the_api_page() -> None:
    for names in (specs.NETWORK_KINDS, specs.ACTIVATIONS, specs.DATASET_NAMES):
        assert [name for name in names if f"`{name}`" not in API] == []


def test_every_curl_command_of_the_api_page_names_the_type_of_its_body() -> None:
    commands = re.findall(r"^ *(curl (?:.*\\\n)*.*)$", API, re.MULTILINE)
    with_body = [command for command in commands if re.search(r" (-d|--data-binary) ", command)]
    assert len(with_body) >= 3
    assert [command for command in with_body if "Content-Type: " not in command] == []


@pytest.mark.slow
def test_every_error_message_is_documented() -> None:
    documented = (ROOT / "docs" / "errors.md").read_text()
    assert documented.splitlines() == document().splitlines(), "python -m tests.error_messages > docs/errors.md"


@pytest.mark.slow
def test_the_curl_commands_of_the_readme_succeed(client: httpx.Client) -> None:
    for request in readme.requests():
        # the shared service has the model `plane`, not the tutorial's networks
        path, query, body = (
            json.loads(re.sub(r"flower-(module|sequential)", "plane", json.dumps(part)))
            for part in (request.path, request.query, request.body)
        )
        answer = client.request(request.method, path, params=query, content=body, headers=request.headers)
        assert answer.is_success, f"{request}\n{answer.text}"


@pytest.mark.slow
def test_the_separatrix_commands_of_the_readme_succeed(tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text(
        "body_mass_g,flipper_length_mm,bill_length_mm,bill_depth_mm\n3750,181,39.1,18.7\n5400,220,50,15.2\n"
    )
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        for arguments in readme.separatrix_commands():
            if arguments[0] == "train":  # with fewer epochs than in the README
                arguments += ["--epochs", "3"]
            done = CliRunner().invoke(app, arguments)
            assert done.exit_code == 0, f"{arguments}\n{done.stderr}"
        with (tmp_path / "new.csv").open() as points:
            command = [sys.executable, "-I", "penguins.py"]
            exported = subprocess.run(command, stdin=points, capture_output=True, text=True, check=True)
        assert len(exported.stdout.splitlines()) == 3


def test_the_make_targets_that_the_documents_name_exist() -> None:
    named = set(re.findall(r"make ([a-z-]+)", README + (ROOT / "CONTRIBUTING.md").read_text())) - {"checkpoints"}
    for target in named & {"serve", "setup", "check", "test", "bench", "test-container"}:
        done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, check=False)
        assert done.returncode == 0, target
    assert named >= {"serve", "setup", "check", "test", "bench", "test-container"}


@pytest.mark.parametrize(
    "page", ["README.md", "CONTRIBUTING.md", "docs/architecture.md", "docs/glossary.md", "docs/playground.md"]
)
def test_every_file_that_a_page_names_exists(page: str) -> None:
    text = (ROOT / page).read_text()
    named = [ROOT / path for path in re.findall(r"`((?:service|models|tests|docs|benchmarks)/[\w./-]*)`", text)]
    linked = [(ROOT / page).parent / path for path in re.findall(r"\]\(([\w./-]+)\)", text)]
    assert [str(path) for path in (*named, *linked) if not path.exists()] == []


def test_pictures_are_small() -> None:
    sizes = {picture.name: picture.stat().st_size for picture in (ROOT / "docs").glob("*.png")}
    assert len(sizes) >= 7
    assert [name for name, size in sizes.items() if size >= 150_000] == []


def test_the_architecture_page_names_every_package() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    packages = {
        path.parent.relative_to(ROOT) for top in ("service", "models") for path in (ROOT / top).rglob("__init__.py")
    }
    rooms = {path for path in packages if path.parent.name and "migrations" not in path.parts}
    assert [str(path) for path in sorted(rooms) if f"{path}/`" not in page and f"`{path.name}/`" not in page] == []


def test_no_package_has_more_modules_than_contributing_says() -> None:
    most = int(re.findall(r"has at most (\d+) modules", (ROOT / "CONTRIBUTING.md").read_text())[0])
    packages = [path.parent for top in ("service", "models") for path in (ROOT / top).rglob("__init__.py")]
    modules = {str(one.relative_to(ROOT)): len([*one.glob("*.py")]) - 1 for one in packages if one.name != "versions"}
    assert {name: count for name, count in modules.items() if count > most} == {}


def test_the_glossary_is_short_and_in_alphabetical_order() -> None:
    terms = re.findall(r"^\| ([\w -]+) \| (?!meaning)", (ROOT / "docs" / "glossary.md").read_text(), re.MULTILINE)
    assert terms == sorted(terms, key=str.lower)
    assert 30 <= len(terms) <= 45
