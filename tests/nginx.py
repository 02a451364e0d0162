"""A real nginx in front of a service, with a configuration of its own."""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.requirements import lacks
from tests.serving import wait_until

CONFIGURATION = """\
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  upstream service {{
    server {service};
    keepalive 4;
  }}
  server {{
    listen 127.0.0.1:{port};
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    {locations}
  }}
}}
"""


@contextmanager
def nginx(folder: Path, service: str, locations: str) -> Iterator[str]:
    """The address of an nginx that passes `locations` on to the upstream `service`, such as 127.0.0.1:8000.

    Where nginx is not installed, the test is skipped; with CI=true it fails.
    """
    program = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin") or shutil.which("nginx")
    if program is None:
        lacks("nginx is not installed (Debian: apt-get install nginx-light)")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    configuration = folder / "nginx.conf"
    configuration.write_text(CONFIGURATION.format(folder=folder, service=service, port=port, locations=locations))
    log = folder / "log"
    with psutil.Popen([program, "-p", folder, "-c", configuration, "-e", log], stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: accepts(port) or process.poll() is not None)
            assert process.poll() is None, log.read_text()
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def accepts(port: int) -> bool:
    """Whether a program of this machine accepts connections on a port."""
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0
