"""docker-compose.yml and the Dockerfile: what can be checked without an engine."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from phusong.settings import PREFIX, Settings

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
NAMES = sorted(SERVICES)
ENV_EXAMPLE = (ROOT / ".env.example").read_text("utf-8")
OURS = ["feed", "gateway", "notify", "topics", "worker"]
SECRET = re.compile("PASSWORD|SECRET|TOKEN|KEY$")
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")


def _mounts(service: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [tuple((*mount.split(":"), "")[:3]) for mount in service.get("volumes", [])]


@pytest.mark.parametrize("name", NAMES)
def test_image_is_pinned(name: str) -> None:
    """A tag with a whole version: the same file starts the same programs next year."""
    image, _, tag = SERVICES[name]["image"].rpartition(":")
    assert image, "no tag"
    assert re.fullmatch(r"v?\d+\.\d+\.\d+", tag), tag


def test_our_image_carries_our_version() -> None:
    """A new version is never mistaken for the image of the last one."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert {SERVICES[name]["image"] for name in OURS} == {f"phusong:{version}"}


@pytest.mark.parametrize("name", NAMES)
def test_every_mount_exists_and_is_read_only_or_a_named_volume(name: str) -> None:
    """Docker would silently create an empty directory for a missing file."""
    for source, _target, mode in _mounts(SERVICES[name]):
        if source.startswith("."):
            assert (ROOT / source).exists(), source
            assert mode == "ro", source
        else:
            assert source in COMPOSE["volumes"], source


@pytest.mark.parametrize("name", NAMES)
def test_ports_are_published_on_this_machine_only(name: str) -> None:
    """Nothing has a password except Grafana."""
    for port in SERVICES[name].get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port), port


def test_no_port_is_published_twice() -> None:
    """The second service would not start."""
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(set(ports)) == len(ports)


def test_secrets_are_files_and_none_has_a_default() -> None:
    """What is in a variable is shown by `docker inspect`; a file that is missing stops the service that needs it."""
    named = {
        (name, key): value
        for name, service in SERVICES.items()
        for key, value in service.get("environment", {}).items()
        if SECRET.search(key.removesuffix("_FILE"))
    }
    assert {key for _, key in named} == {"GF_SECURITY_ADMIN_PASSWORD__FILE", "GF_SMTP_PASSWORD__FILE", "PHUSONG_WEBHOOK_SECRET_FILE"}
    for (name, _), value in named.items():
        assert Path(value).parent == Path("/run/secrets")
        assert Path(value).name in SERVICES[name]["secrets"]
    used = {one for service in SERVICES.values() for one in service.get("secrets", [])}
    assert used == {Path(value).name for value in named.values()} | {"ioc-webhook-secret"}  # the last is read by the contact point
    assert {name: one["file"] for name, one in COMPOSE["secrets"].items()} == {name: f"./secrets/{name}" for name in used}
    assert SERVICES["grafana"]["environment"]["GF_AUTH_ANONYMOUS_ENABLED"] == "false"
    assert not SECRET.search("".join(re.findall(r"\$\{(\w+)", TEXT)))


def test_secrets_stay_out_of_the_image_and_of_the_repository() -> None:
    """Whoever has the source or the image has none of them."""
    assert {"/.env", "/secrets/"} <= set((ROOT / ".gitignore").read_text("utf-8").splitlines())
    assert (ROOT / ".dockerignore").read_text("utf-8").splitlines()[1] == "*"


def test_every_variable_is_explained_and_may_be_left_out() -> None:
    """`docker compose up` starts without a .env; whoever wants more finds each variable in the example."""
    used = dict(re.findall(r"\$\{(\w+)(:-[^}]*)?\}", TEXT))
    assert all(used.values())
    shown = set(re.findall(r"^#?(\w+)=", ENV_EXAMPLE, re.MULTILINE))
    assert shown == used.keys() | {"COMPOSE_PROFILES"}
    pages = "".join((ROOT / "docs" / name).read_text("utf-8") for name in ("install.md", "webhook.md"))
    assert [name for name in sorted(shown) if name not in pages] == []


def test_what_alerting_takes_from_the_environment_is_given_to_grafana() -> None:
    """A contact point with an empty address sends nothing, and says nothing."""
    alerting = ROOT / "dashboards" / "grafana" / "provisioning" / "alerting"
    # "$$" is a dollar for Grafana; annotations and templates have {{ $labels }} in small letters
    wanted = {name for file in alerting.glob("*.yaml") for name in re.findall(r"(?<!\$)\$\{?([A-Z][A-Z0-9_]+)", file.read_text("utf-8"))}
    assert wanted <= SERVICES["grafana"]["environment"].keys()


@pytest.mark.parametrize("name", NAMES)
def test_a_service_has_no_privilege_and_a_bound_on_memory(name: str) -> None:
    """One that goes wrong takes nothing else with it."""
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["pids_limit"] <= 512
    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
    assert not service.keys() & {"privileged", "cap_add", "network_mode", "pid", "devices", "user"}
    # Kafka and Grafana write beside their data when they start
    assert service.get("read_only", False) is (name not in ("kafka", "grafana"))


@pytest.mark.parametrize("name", NAMES)
def test_dependencies_exist_and_can_fulfil_their_condition(name: str) -> None:
    """`service_healthy` needs a health check, `service_completed_successfully` a service that ends."""
    for other, wanted in SERVICES[name].get("depends_on", {}).items():
        if wanted["condition"] == "service_healthy":
            assert "healthcheck" in SERVICES[other]
        else:
            assert wanted["condition"] == "service_completed_successfully"
            assert SERVICES[other]["restart"] == "no"


@pytest.mark.parametrize("name", NAMES)
def test_long_running_services_restart_and_tell_their_health(name: str) -> None:
    """Only the one-shot ends."""
    service = SERVICES[name]
    if name == "topics":
        assert service["restart"] == "no"
    else:
        assert service["restart"] == "unless-stopped"
        assert "start_period" in service["healthcheck"]


@pytest.mark.parametrize("name", NAMES)
def test_logs_are_bounded(name: str) -> None:
    """A chatty service must not fill the disk that Kafka needs."""
    assert {"max-size", "max-file"} <= SERVICES[name]["logging"]["options"].keys()


@pytest.mark.parametrize("name", NAMES)
def test_a_sentence_stands_above_the_service(name: str) -> None:
    """What it is for, where the reader looks."""
    assert re.search(rf"^  # .+\n  {name}:\n", TEXT, re.MULTILINE)


def test_our_environment_is_made_of_settings_that_exist() -> None:
    """A misspelt key would stop the container; found here it stops nobody."""
    known = {PREFIX + field.upper() for field in Settings.model_fields}
    for name in OURS:
        environment = SERVICES[name]["environment"]
        assert set(environment) <= known
        values = {key.removeprefix(PREFIX).lower(): value for key, value in environment.items()}
        assert Settings.model_validate(values).bootstrap_servers == "kafka:9092"


def test_commands_are_those_of_the_command_line() -> None:
    """One image, five roles."""
    assert {name: SERVICES[name]["command"] for name in OURS} == {
        "feed": ["feed"],
        "gateway": ["gateway"],
        "notify": ["notify"],
        "topics": ["topics", "apply"],
        "worker": ["worker"],
    }


def test_the_webhook_is_called_only_where_it_is_asked_for() -> None:
    """Everything else starts without a profile."""
    assert {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service} == {"notify": ["webhook"]}


def test_one_of_the_two_alert_sets_is_loaded() -> None:
    """Grafana's; Prometheus gets its recording rules, which alert nobody, and not the file of its own alerts."""
    prometheus = yaml.safe_load((ROOT / "dashboards/prometheus/prometheus.yml").read_text("utf-8"))
    assert "alerting" not in prometheus
    mounted = {target: source for source, target, _ in _mounts(SERVICES["prometheus"]) if source.startswith(".")}
    assert mounted.pop("/etc/prometheus/prometheus.yml") == "./dashboards/prometheus/prometheus.yml"
    assert {f"/etc/prometheus/{file}" for file in prometheus.get("rule_files", [])} == mounted.keys()
    for source in mounted.values():
        rules = [rule for group in yaml.safe_load((ROOT / source).read_text("utf-8"))["groups"] for rule in group["rules"]]
        assert rules
        assert all("record" in rule for rule in rules)
    assert ("./dashboards/grafana/provisioning", "/etc/grafana/provisioning", "ro") in _mounts(SERVICES["grafana"])


def test_prometheus_scrapes_the_ports_that_services_listen_on() -> None:
    """Service names and ports of the compose network."""
    prometheus = yaml.safe_load((ROOT / "dashboards/prometheus/prometheus.yml").read_text("utf-8"))
    found = {
        (job["job_name"], name, target["port"])
        for job in prometheus["scrape_configs"] for target in job["dns_sd_configs"] for name in target["names"]
    }  # fmt: skip
    ports = {
        "feed": "PHUSONG_FEED_PORT",
        "worker": "PHUSONG_WORKER_METRICS_PORT",
        "gateway": "PHUSONG_GATEWAY_PORT",
        "notify": "PHUSONG_NOTIFY_METRICS_PORT",
    }
    assert found == {(f"phusong-{name}", name, SERVICES[name]["environment"][port]) for name, port in ports.items()}


def test_grafana_finds_prometheus_and_the_dashboards_where_they_are() -> None:
    """The datasource's host is a service; the provider's path and the home page lie in what is mounted."""
    provisioning = ROOT / "dashboards" / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources/phusong.yaml").read_text("utf-8"))["datasources"]
    providers = yaml.safe_load((provisioning / "dashboards/phusong.yaml").read_text("utf-8"))["providers"]
    assert source["url"] == "http://prometheus:9090"
    targets = {target: here for here, target, _ in _mounts(SERVICES["grafana"])}
    (root,) = [target for target in targets if target == "/etc/grafana/dashboards"]
    home = Path(SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    for path in (*(Path(provider["options"]["path"]) for provider in providers), home):
        assert (ROOT / targets[root] / path.relative_to(root)).exists(), path


def test_kafka_is_reached_from_inside_and_from_this_machine() -> None:
    """Two listeners, each advertised under the address that its clients can resolve."""
    kafka = SERVICES["kafka"]["environment"]
    advertised = dict(one.split("://") for one in kafka["KAFKA_ADVERTISED_LISTENERS"].split(","))
    assert advertised == {"INSIDE": SERVICES["worker"]["environment"]["PHUSONG_BOOTSTRAP_SERVERS"], "OUTSIDE": "127.0.0.1:29092"}
    assert SERVICES["kafka"]["ports"] == ["127.0.0.1:29092:29092"]
    assert set(advertised) <= {one.split("://")[0] for one in kafka["KAFKA_LISTENERS"].split(",")}
    assert kafka["KAFKA_LOG_DIRS"] in {target for _, target, _ in _mounts(SERVICES["kafka"])}
    assert kafka["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"


def test_health_checks_ask_the_program_itself() -> None:
    """An open port is not a service."""
    asked = {name: SERVICES[name]["healthcheck"]["test"][-1] for name in NAMES if name != "topics"}
    assert "kafka-broker-api-versions.sh" in asked["kafka"]
    assert f":{SERVICES['feed']['environment']['PHUSONG_FEED_PORT']}/readyz" in asked["feed"]
    assert f":{SERVICES['worker']['environment']['PHUSONG_WORKER_METRICS_PORT']}/metrics" in asked["worker"]
    assert f":{SERVICES['notify']['environment']['PHUSONG_NOTIFY_METRICS_PORT']}/metrics" in asked["notify"]
    assert f":{SERVICES['gateway']['environment']['PHUSONG_GATEWAY_PORT']}/readyz" in asked["gateway"]


def test_the_image_is_slim_pinned_and_does_not_run_as_root() -> None:
    """Both stages start from the same pinned image; the last USER is not root."""
    bases = set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE))
    assert len(bases) == 1
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm", bases.pop())
    users = re.findall(r"^USER (\S+)", DOCKERFILE, re.MULTILINE)
    assert users
    assert users[-1] not in ("root", "0")


def test_what_the_image_copies_exists_and_is_let_through() -> None:
    """.dockerignore keeps everything out except these, and the packages are those of the wheel."""
    let_through = re.findall(r"^!(\S+)", (ROOT / ".dockerignore").read_text("utf-8"), re.MULTILINE)
    copied = {source for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE) for source in line.split()[:-1]}
    assert copied == set(let_through)
    assert [source for source in sorted(copied) if not (ROOT / source).exists()] == []
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert {*wheel["packages"], *wheel["force-include"]} <= copied


def test_compose_itself_accepts_the_file_where_it_is_installed() -> None:
    """`docker compose config` needs no engine; where the plugin is missing the checks above stand alone."""
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        return
    done = subprocess.run(
        [docker, "compose", "--file", str(ROOT / "docker-compose.yml"), "--profile", "webhook", "config", "--quiet"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
