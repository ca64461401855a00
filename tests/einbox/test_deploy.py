"""The production shape: settings alone, no warning, no secret in any output, no foreign host; the examples hold."""

import itertools
import os
import re
import shutil
import subprocess
import sys
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from einbox.entry import SERVICES
from einbox.keys import new_field_key
from tests.doubles.installation import ROOT

PLANTED = "planted-secret-" + "q7" * 20


def manage(home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("EINBOX_", "DJANGO_"))}
    return subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), *arguments],
        env=kept | {"EINBOX_HOME": str(home), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def production() -> dict[str, str]:
    return {
        "EINBOX_PUBLIC_URL": "https://einbox.example.org",
        "EINBOX_TRUSTED_PROXIES": "10.0.0.0/8",
        "EINBOX_WEB": "0.0.0.0:8025",
        "EINBOX_DATABASE_URL": f"postgres://einbox:{PLANTED}@127.0.0.1:1/einbox",
        "EINBOX_BROKER_URL": f"redis://:{PLANTED}@127.0.0.1:1/0",
        "EINBOX_SECRET_KEY": PLANTED * 2,
        "EINBOX_FIELD_KEYS": new_field_key(),
    }


@pytest.mark.pure
def test_check_deploy_is_silent_under_production_settings(tmp_path: Path) -> None:
    result = manage(tmp_path, "check", "--deploy", "--fail-level", "INFO", **production())
    assert result.returncode == 0, result.stderr
    assert "no issues (0 silenced)" in result.stdout


@pytest.mark.pure
@pytest.mark.parametrize("networks", ["10.0.0.0/8, ::/0", "loadbalancer"])
def test_the_mail_ports_proxies_are_named_and_not_everybody(tmp_path: Path, networks: str) -> None:
    result = manage(tmp_path, "check", **production(), EINBOX_SMTPD_PROXIES=networks)
    assert result.returncode != 0
    assert "EINBOX_SMTPD_PROXIES must" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.pure
@pytest.mark.parametrize("missing", ["EINBOX_SECRET_KEY", "EINBOX_FIELD_KEYS"])
def test_production_demands_its_keys(tmp_path: Path, missing: str) -> None:
    environment = production()
    del environment[missing]
    result = manage(tmp_path, "check", **environment)
    assert result.returncode != 0
    assert missing in result.stderr
    assert not (tmp_path / "keys").exists()


@pytest.mark.pure
@pytest.mark.parametrize(
    "change",
    [
        {},
        {"EINBOX_DATABASE_URL": f"mysql://einbox:{PLANTED}@db/einbox"},
        {"EINBOX_BROKER_URL": f"amqp://:{PLANTED}@host"},
        {"EINBOX_SECRET_KEY": PLANTED[:20]},
        {"EINBOX_FIELD_KEYS": PLANTED},
    ],
)
def test_planted_secrets_are_in_no_output(tmp_path: Path, change: dict[str, str]) -> None:
    result = manage(tmp_path, "up", **{**production(), **change})
    assert result.returncode != 0
    assert PLANTED[:20] not in result.stdout + result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.pure
def test_a_reachable_address_needs_https(tmp_path: Path) -> None:
    result = manage(tmp_path, "check", EINBOX_WEB="0.0.0.0:8025")
    assert result.returncode != 0
    assert "https://" in result.stderr


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "localhost.evil.example"},
        {"Host": "localhost@evil.example"},
        {"Host": "evil.example:8025"},
        {"Host": "localhost:8025@evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "127.0.0.2"},
        {"Host": "[::2]"},
        {"Host": ""},
    ],
)
@pytest.mark.django_db
def test_foreign_host_headers_are_refused(headers: dict[str, str]) -> None:
    assert Client(headers=headers).get("/account/login/").status_code == 400


@pytest.mark.parametrize("name", ["X-Forwarded-Host", "X_Forwarded_Host", "Forwarded"])
@pytest.mark.django_db
def test_forwarded_host_headers_are_not_read(name: str) -> None:
    response = Client(headers={"Host": "localhost", name: "host=evil.example"}).get("/")
    assert "evil.example" not in response.content.decode() + str(response.headers)


def test_the_frameworks_admin_is_not_installed() -> None:
    assert "django.contrib.admin" not in settings.INSTALLED_APPS


def flood(kind: str) -> dict[str, Any]:
    if kind == "fields":
        return {"data": {f"field{number}": "x" for number in range(501)}}
    if kind == "files":
        return {"data": {f"file{number}": BytesIO(b"x") for number in range(21)}}
    if kind == "body":
        body = b"email=" + b"x" * 6 * 2**20
        return {"data": body, "content_type": "application/x-www-form-urlencoded"}
    part = b'--b\r\nContent-Disposition: form-data; name="a"\r\n' + b"X-Pad: y\r\n" * 20_000 + b"\r\n\r\n"
    return {"data": part * 4 + b"--b--\r\n", "content_type": "multipart/form-data; boundary=b"}


@pytest.mark.parametrize("kind", ["fields", "files", "body", "headers of parts"])
@pytest.mark.django_db
def test_floods_of_fields_files_and_octets_are_refused_quickly(kind: str) -> None:
    request = flood(kind)
    started = time.process_time()
    response = Client(enforce_csrf_checks=True, headers={"Host": "localhost"}).post("/account/login/", **request)
    assert response.status_code in {400, 403, 413}
    assert time.process_time() - started < 1


def deployed(name: str) -> str:
    return (ROOT / "deploy" / name).read_text(encoding="utf-8")


def test_no_shipped_proxy_lets_a_client_write_forwarded_headers() -> None:
    """A web server takes X_Forwarded_For for X-Forwarded-For: nginx drops such names by itself, Caddy when told so."""
    assert "request_header -*_*" in deployed("Caddyfile")
    nginx = deployed("nginx.conf")
    assert "underscores_in_headers" not in nginx
    assert "proxy_set_header X-Forwarded-For $remote_addr;" in nginx


def listed(name: str) -> list[str]:
    """The values of a setting of the Postfix excerpts, one by one."""
    _, _, rest = deployed("postfix-main.cf").replace("#", "").partition(f"{name} =\n")
    lines = itertools.takewhile(lambda line: line.startswith("    "), rest.splitlines())
    return [line.strip().rstrip(",") for line in lines]


@pytest.mark.parametrize("name", ["smtpd_recipient_restrictions", "smtpd_relay_restrictions"])
def test_the_primarys_own_people_can_still_send_with_our_excerpts(name: str) -> None:
    own, people, einbox, others = listed(name)
    assert (own, people, others) == ("permit_mynetworks", "permit_sasl_authenticated", "reject_unauth_destination")
    assert einbox.startswith("check_client_access")


def test_the_image_holds_each_room_and_only_what_is_there() -> None:
    copied = {line.split()[1] for line in deployed("Dockerfile").splitlines() if line.startswith("COPY ")}
    rooms = {path.parent.name for path in ROOT.glob("*/apps.py")}
    assert copied == rooms | {"manage.py", "requirements/production.txt"}
    assert all((ROOT / source).exists() for source in copied)
    admitted = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert admitted == copied


def test_containers_and_units_are_the_services() -> None:
    composed = set(re.findall(r'^  (\w+): .*command: \["(\w+)"\]', deployed("compose.yaml"), re.MULTILINE))
    assert composed == {(service, service) for service in SERVICES}
    [enabled] = re.findall(r"enable --now ((?:einbox@\w+ ?)+)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert {unit.removeprefix("einbox@") for unit in enabled.split()} == SERVICES


@pytest.mark.pure
def test_the_example_of_settings_is_one_and_reads_the_same_in_a_shell(tmp_path: Path) -> None:
    """systemd and README's shell line both read the file; the commented settings count, too."""
    key, secret = new_field_key(), PLANTED * 2
    text = re.sub(r"^#(?=EINBOX_)", "", deployed("environment.example"), flags=re.MULTILINE)
    text = text.replace("EINBOX_SECRET_KEY=", f"EINBOX_SECRET_KEY={secret}").replace("KEYS=", f"KEYS={key}")
    (tmp_path / "environment").write_text(text, encoding="utf-8")
    shell = f'set -a; . "{tmp_path}/environment"; exec env -0'
    path = {"PATH": os.environ["PATH"]}
    said = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=True, env=path)
    environment = dict(line.partition("=")[::2] for line in said.stdout.split("\0") if line.startswith("EINBOX_"))
    assert environment["EINBOX_HELP_LINE"] == "+49 30 0000000"
    del environment["EINBOX_HOME"]
    assert manage(tmp_path, "check", **environment).returncode == 0


@pytest.mark.pure
def test_an_environment_without_pip_is_not_left_half_made(tmp_path: Path) -> None:
    """As on Debian without python3-venv: the next `make install` must not take the remains for an environment."""
    python = tmp_path / "python3"
    python.write_text('#!/bin/sh\n[ "$1" = -m ] || exit 0\nmkdir -p "$3/bin"; touch "$3/bin/python"; exit 1\n')
    python.chmod(0o755)
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements/production.txt").touch()
    ours = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}  # not of a make around us
    command = ["make", "install", f"PYTHON={python}"]
    made = subprocess.run(command, cwd=tmp_path, env=ours, capture_output=True, check=False)
    assert made.returncode != 0
    assert not (tmp_path / ".venv/bin/python").exists()


def settings_of(*files: Path) -> list[str]:
    """What a unit and its drop-ins set, in the order in which systemd reads them."""
    lines = (line.strip() for file in files for line in file.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if "=" in line and not line.startswith("#")]


@pytest.mark.pure
def test_of_the_separate_units_only_web_and_smtpd_may_bind_low_ports() -> None:
    folder = ROOT / "deploy" / "systemd"
    may = {}
    for service in SERVICES:
        drop_ins = sorted((folder / f"einbox@{service}.service.d").glob("*.conf"))
        found = settings_of(folder / "einbox@.service", *drop_ins)
        for name in ("AmbientCapabilities", "CapabilityBoundingSet"):
            may[service, name] = [line for line in found if line.startswith(name)][-1].partition("=")[2]
    assert {key: value for key, value in may.items() if value} == {
        (service, name): "CAP_NET_BIND_SERVICE"
        for service in ("web", "smtpd")
        for name in ("AmbientCapabilities", "CapabilityBoundingSet")
    }


@pytest.mark.pure
def test_every_unit_filters_system_calls() -> None:
    units = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
    assert len(units) == 3
    for unit in units:
        filters = [line for line in settings_of(unit) if line.startswith("SystemCall")]
        assert filters == [
            "SystemCallArchitectures=native",
            "SystemCallFilter=@system-service",
            "SystemCallFilter=~@privileged",
            "SystemCallErrorNumber=EPERM",
        ], unit.name
