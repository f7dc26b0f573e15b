"""Containers as deploy/ describes them, in podman's words: a service of the compose file, a pod of a manifest."""

import base64
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from deployed import COMPOSE, DEPLOY
from engine import Engine

Manifest = Mapping[str, Any]


@dataclass(frozen=True)
class Runner:
    """Starts containers on one network, where each is known by its name."""

    engine: Engine
    subnet: IPv4Network
    folder: Path
    """For the files that are mounted."""

    names: tuple[str, ...]
    """All that will be started, by which they find each other in /etc/hosts."""

    def __post_init__(self) -> None:
        self.engine.podman("network", "create", "--disable-dns", "--subnet", str(self.subnet), self._network)

    @property
    def _network(self) -> str:
        return self.folder.name

    def called(self, name: str) -> str:
        """What the engine calls a container, of which other networks may have one of the same name."""
        return f"{self._network}-{name}"

    def start(self, name: str, image: str, *options: str, command: tuple[str, ...] = ()) -> None:
        """Start one, in the background."""
        hosts = [f"--add-host={other}:{self._address(other)}" for other in self.names]
        at = ("--name", self.called(name), "--network", self._network, "--ip", self._address(name), *hosts)
        self.engine.podman("run", "--detach", "--pull=never", *at, *options, image, *command)

    def exec(self, name: str, *command: str) -> tuple[int, str]:
        """Run a command in a container; its exit code and what it said."""
        done = self.engine.attempt("exec", self.called(name), *command)
        return done.returncode, done.stdout + done.stderr

    def _address(self, name: str) -> str:
        return str(self.subnet[self.names.index(name) + 10])

    def said(self) -> str:
        """The containers and what each wrote last, for a test that failed."""
        told = [self.engine.podman("ps", "--all")]
        for name in self.engine.podman("ps", "--all", "--format={{.Names}}").split():
            done = self.engine.attempt("logs", "--tail=20", name)
            told.append(f"--- {name}\n{done.stdout}{done.stderr}")
        return "\n".join(told)

    def start_service(self, service: str, secrets: Path) -> None:
        """Start a service of the compose file, as that says."""
        spec = COMPOSE["services"][service]
        self.start(service, spec["image"], *_of_service(spec, secrets), command=tuple(spec["command"]))

    def start_pod(self, name: str, pod: Manifest, given: list[dict[str, Any]]) -> None:
        """Start the container of a pod's template, with the ConfigMaps and Secrets that are given beside it."""
        (container,) = pod["spec"]["containers"]
        options = [*_rights(pod["spec"], container), *_environment(container, given), *self._volumes(name, pod, given)]
        if entrypoint := container.get("command"):
            options.append(f"--entrypoint={entrypoint[0]}")
        command = (*container.get("command", ())[1:], *container.get("args", ()))
        self.start(name, container["image"], *options, command=command)

    def _volumes(self, name: str, pod: Manifest, given: list[dict[str, Any]]) -> Iterator[str]:
        """Lay out a pod's volumes as the kubelet does: root's, and readable or writable by the pod's group."""
        (container,) = pod["spec"]["containers"]
        secrets = {volume["name"]: volume["secret"] for volume in pod["spec"].get("volumes", ())}
        for mount in container["volumeMounts"]:
            place = self.folder / name / mount["name"]
            place.mkdir(parents=True)
            group = pod["spec"]["securityContext"]["fsGroup"]
            secret = secrets.get(mount["name"], {})
            for item in secret.get("items", ()):
                file = place / item["path"]
                file.write_text(_told(given, "Secret", secret["secretName"])[item["key"]])
                file.chmod(secret["defaultMode"])
                os.chown(file, 0, group)
            os.chown(place, 0, group)
            place.chmod(0o750 if secret else 0o2770)
            yield f"--volume={place}:{mount['mountPath']}:{'ro' if mount.get('readOnly') else 'rw'}"


def _of_service(spec: Manifest, secrets: Path) -> Iterator[str]:
    if spec.get("read_only"):
        yield from ("--read-only", "--read-only-tmpfs=false")
    yield from (f"--cap-drop={name}" for name in spec.get("cap_drop", ()))
    yield from (f"--security-opt={option.partition(':')[0]}" for option in spec.get("security_opt", ()))
    yield from (f"--env={name}={value}" for name, value in spec.get("environment", {}).items())
    yield from (f"--volume={secrets}:/run/secrets/{name}:ro" for name in spec.get("secrets", ()))
    for volume in spec.get("volumes", ()):
        source, path, *how = volume.split(":")
        yield f"--volume={DEPLOY / source if source.startswith('.') else source}:{path}:{','.join(how) or 'rw'}"


def _rights(spec: Manifest, container: Manifest) -> Iterator[str]:
    of_pod, own = spec["securityContext"], container["securityContext"]
    yield f"--user={of_pod['runAsUser']}:{of_pod['runAsGroup']}"
    yield f"--group-add={of_pod['fsGroup']}"
    if own["readOnlyRootFilesystem"]:
        yield from ("--read-only", "--read-only-tmpfs=false")
    if not own["allowPrivilegeEscalation"]:
        yield "--security-opt=no-new-privileges"
    yield from (f"--cap-drop={name}" for name in own["capabilities"]["drop"])


def _environment(container: Manifest, given: list[dict[str, Any]]) -> Iterator[str]:
    told: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        told |= _told(given, "ConfigMap", source["configMapRef"]["name"])
    for variable in container.get("env", ()):
        reference = variable["valueFrom"]["secretKeyRef"]
        told[variable["name"]] = _told(given, "Secret", reference["name"])[reference["key"]]
    yield from (f"--env={name}={value}" for name, value in told.items())


def _told(given: list[dict[str, Any]], kind: str, name: str) -> dict[str, str]:
    (found,) = (manifest for manifest in given if (manifest["kind"], manifest["metadata"]["name"]) == (kind, name))
    data: dict[str, str] = found["data"]
    return data if kind == "ConfigMap" else {key: base64.b64decode(text).decode() for key, text in data.items()}
