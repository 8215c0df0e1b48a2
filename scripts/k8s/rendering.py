"""The chart as Helm renders it, for the checks."""

import functools
import pathlib
import subprocess

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy/helm/starling"
VALUES = [CHART / "values.yaml", *sorted((CHART / "ci").glob("*.yaml"))]
NAMESPACE = "chat"
# The oldest and the newest that is looked at.
VERSIONS = ["1.30", "1.32", "1.34", "1.36", "1.37"]
FOREIGN = ("cert-manager.io", "keda.sh", "monitoring.coreos.com")


def helm(*arguments):
    done = subprocess.run(["helm", *map(str, arguments)], capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout, done.stderr


@functools.cache
def rendered(values, *more):
    """All objects of a values file and further arguments of `helm template`."""
    code, out, err = helm("template", "x", CHART, "-n", NAMESPACE, "-f", values, *more)
    if code:
        raise AssertionError(err)
    return [one for one in yaml.safe_load_all(out) if one]


def everywhere():
    """Each values file with what it renders."""
    return [(values.stem, rendered(values)) for values in VALUES]


def of_kind(objects, *kinds):
    return [one for one in objects if one["kind"] in kinds]


def named(objects, kind, name):
    [found] = [one for one in of_kind(objects, kind) if one["metadata"]["name"] == name]
    return found


def part(labels):
    return labels.get("app.kubernetes.io/component", "")


def pods(objects):
    """The metadata and the spec of each pod, bare or in a template, with the name of what makes it."""
    for one in objects:
        if one["kind"] == "Pod":
            yield one["metadata"]["name"], one["metadata"], one["spec"]
        elif one["kind"] in ("Deployment", "StatefulSet", "Job"):
            template = one["spec"]["template"]
            yield one["metadata"]["name"], template["metadata"], template["spec"]


def serving(objects):
    """Pods of the server itself."""
    return [pod for pod in pods(objects) if part(pod[1]["labels"]) in ("manager", "router", "embedded")]


def container(spec):
    return spec["containers"][0]


def selects(labels, pod):
    return labels.items() <= pod.items()


def strings(value):
    """Every string in a value."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)
    elif isinstance(value, str):
        yield value
