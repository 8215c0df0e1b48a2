"""What must hold for deploy/kustomize: it is made of the chart, and Kustomize builds the objects that the chart renders."""

import functools
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


@functools.cache
def built(name):
    done = subprocess.run(["kustomize", "build", overlays.FOLDER / name], capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise AssertionError(done.stderr)
    return [one for one in yaml.safe_load_all(done.stdout) if one]


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
            for name in ("base", "overlays"):
                self.assertEqual(files(overlays.FOLDER / name), files(pathlib.Path(folder, name)), "`make kustomize` makes it anew")

    def test_kustomize_builds_what_the_chart_renders(self):
        for name, values in SAME.items():
            ours, charts = by_name(renamed(built(name))), by_name(overlays.rendered(*values))
            self.assertEqual(sorted(ours), sorted(charts), name)
            for which, one in ours.items():
                with self.subTest(f"{name}: {which}"):
                    self.assertEqual(one, charts[which])

    def test_every_object_is_valid_for_several_versions_of_kubernetes(self):
        for name in SAME:
            for one in built(name):
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

    def test_there_is_no_secret_among_them(self):
        for name in SAME:
            self.assertEqual(of_kind(built(name), "Secret"), [], name)
