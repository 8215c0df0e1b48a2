"""What must hold for deploy/kustomize: it is made of the chart, and Kustomize builds the objects that the chart renders."""

import functools
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

import kubernetes_validate
import yaml

import overlays
from rendering import FOREIGN, VERSIONS, of_kind, strings

# Each folder with the values of which the chart renders the same.
SAME = {
    "base": ["base"],
    "overlays/dev": ["base", "dev"],
    "overlays/prod": ["base", "prod"],
    "overlays/embedded": ["embedded"],
}
DASHBOARDS = "deploy/helm/starling/files/dashboards"
# The same for a folder with components put on it: those of the base's configuration.
WITH = {
    ("base", "deploy/kustomize/components/api"): ["base", "api"],
    ("base", DASHBOARDS): ["base", "dashboards"],
    ("overlays/prod", "deploy/kustomize/components/api", DASHBOARDS): ["base", "prod", "api", "dashboards"],
}


@functools.cache
def built(name):
    return run(overlays.FOLDER / name)


@functools.cache
def put_together(name, *components):
    """As somebody else's folder does it."""
    with tempfile.TemporaryDirectory() as folder:
        # It knows folders by ways that do not begin at the root.
        there = os.path.relpath(overlays.ROOT, os.path.realpath(folder))
        said = {"resources": [f"{there}/deploy/kustomize/{name}"], "components": [f"{there}/{one}" for one in components]}
        pathlib.Path(folder, "kustomization.yaml").write_text(yaml.safe_dump(said))
        return run(folder)


def run(folder):
    done = subprocess.run(["kustomize", "build", folder], capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise AssertionError(done.stderr)
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def everything():
    """What is built, with its name and the values of which the chart renders the same."""
    found = [(name, built(name), values) for name, values in SAME.items()]
    return found + [(" and ".join(names), put_together(*names), values) for names, values in WITH.items()]


def by_name(objects):
    return {overlays.key(one): one for one in objects}


def renamed(objects):
    """With names of configurations as the chart gives them: Kustomize puts a digest behind each."""
    found = {one["metadata"]["name"] for one in objects if overlays.is_configuration(one)}
    names = {name: re.sub("-[a-z0-9]{10}$", "", name) for name in found}

    def change(value):
        if isinstance(value, dict):
            return {key: change(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [change(inner) for inner in value]
        return names.get(value, value) if isinstance(value, str) else value

    return change(objects)


def files(folder):
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


class Overlays(unittest.TestCase):
    maxDiff = 4000

    def test_what_is_there_was_made_of_the_chart_as_it_is(self):
        with tempfile.TemporaryDirectory() as folder:
            overlays.make(pathlib.Path(folder))
            for name in overlays.MADE_FOLDERS:
                self.assertEqual(files(overlays.FOLDER / name), files(pathlib.Path(folder, name)), "`make kustomize` makes it anew")

    def test_kustomize_builds_what_the_chart_renders(self):
        for name, objects, values in everything():
            ours, charts = by_name(renamed(objects)), by_name(overlays.rendered(*values))
            self.assertEqual(sorted(ours), sorted(charts), name)
            for which, one in ours.items():
                with self.subTest(f"{name}: {which}"):
                    self.assertEqual(one, charts[which])

    def test_every_object_is_valid_for_several_versions_of_kubernetes(self):
        for name, objects, _ in everything():
            for one in objects:
                if one["apiVersion"].split("/")[0] in FOREIGN:
                    continue
                for version in VERSIONS:
                    with self.subTest(f"{name}: {overlays.key(one)} for {version}"):
                        kubernetes_validate.validate(one, version, strict=True)

    def test_another_configuration_is_another_name_and_its_pods_mount_it(self):
        of = {name: {one["metadata"]["name"] for one in built(name) if overlays.is_configuration(one)} for name in SAME}
        self.assertTrue(of["base"] and not of["base"] & of["overlays/dev"], of)
        for name, configurations in of.items():
            mounted = {text for one in of_kind(built(name), "Deployment", "StatefulSet") for text in strings(one)}
            self.assertLessEqual(configurations, mounted, name)

    def test_the_folder_of_the_guide_builds_with_the_configurations_in_it(self):
        page = (overlays.ROOT / "docs/how-to/kubernetes.md").read_text()
        texts = re.findall(r"^    # (chat/\S*kustomization.yaml)\n((?:    .*\n)+)", page, re.MULTILINE)
        self.assertEqual(len(texts), 2)
        with tempfile.TemporaryDirectory() as folder:
            for name, text in texts:
                there = os.path.relpath(overlays.ROOT, os.path.realpath(os.path.dirname(f"{folder}/{name}")))
                os.makedirs(os.path.dirname(f"{folder}/{name}"), exist_ok=True)
                text = re.sub("^    ", "", text, flags=re.MULTILINE)
                pathlib.Path(folder, name).write_text(re.sub(r"(\.\./)+starling", there, text))
            folder = f"{folder}/chat"
            for part in ("manager", "router"):
                pathlib.Path(folder, f"{part}.toml").write_text(f"# of the {part}\n")
            objects = run(folder)
        for part in ("manager", "router"):
            [name] = [one["metadata"]["name"] for one in objects if overlays.is_configuration(one)
                      and one["data"]["starling.toml"] == f"# of the {part}\n"]
            [deployment] = [one for one in of_kind(objects, "Deployment") if one["metadata"]["name"] == f"starling-{part}"]
            self.assertIn(name, set(strings(deployment)))
            self.assertIn("registry.example.org/starling:0.1.0", set(strings(deployment)))
        self.assertIn("starling-api", [one["metadata"]["name"] for one in of_kind(objects, "Service")])

    def test_there_is_no_secret_among_them(self):
        for name, objects, _ in everything():
            self.assertEqual(of_kind(objects, "Secret"), [], name)
