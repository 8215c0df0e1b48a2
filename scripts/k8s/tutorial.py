"""The tutorial docs/tutorials/kubernetes.md, as far as it can be done without a cluster: what its values render, and its commands. Its lines,
and those of docs/how-to/kubernetes.md, are run by walk.py; here is looked that what it does not run is still there.
"""

import os
import pathlib
import shlex
import subprocess
import tempfile
import unittest

import kubernetes_validate
import yaml

from rendering import CHART, FOREIGN, NAMESPACE, ROOT, VERSIONS, helm, serving
from walks import TUTORIAL, WALKS

# What `kubectl` calls the kinds.
KINDS = {"deploy": "Deployment", "statefulset": "StatefulSet", "service": "Service", "hpa": "HorizontalPodAutoscaler"}


def commands(*first):
    """Lines of consoles that begin with these words, as words."""
    return [words for words in map(shlex.split, TUTORIAL.lines()) if tuple(words[:len(first)]) == first]


class Tutorial(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        """Every line of Helm about our chart, rendered with the files of the page."""
        with tempfile.TemporaryDirectory() as folder:
            for name, text in TUTORIAL.files().items():
                pathlib.Path(folder, name).write_text(text)
            cls.rendered = {}
            for words in commands("helm", "install") + commands("helm", "upgrade"):
                if words[3] == str(CHART.relative_to(ROOT)):
                    assert words[2] == "starling" and words[words.index("-n") + 1] == NAMESPACE, words
                    files = [word if word in ("-f", "-n", NAMESPACE) else f"{folder}/{word}" for word in words[4:]]
                    code, out, err = helm("template", words[2], CHART, *files)
                    assert code == 0, err
                    cls.rendered[words[1]] = [one for one in yaml.safe_load_all(out) if one]

    def test_what_it_installs_is_valid(self):
        self.assertEqual(sorted(self.rendered), ["install", "upgrade"])
        for objects in self.rendered.values():
            for one in objects:
                if one["apiVersion"].split("/")[0] not in FOREIGN:
                    for version in (VERSIONS[0], VERSIONS[-1]):
                        kubernetes_validate.validate(one, version, strict=True)

    def test_what_its_commands_name_is_there(self):
        there = {(one["kind"], one["metadata"]["name"]) for one in self.rendered["upgrade"]}
        found = 0
        for words in commands("kubectl"):
            for word in words[: words.index("--") if "--" in words else None]:
                kind, slash, name = word.partition("/")
                if slash and kind in KINDS:
                    self.assertIn((KINDS[kind], name), there, words)
                    found += 1
        self.assertGreater(found, 10)

    def test_every_secret_that_is_mounted_is_made(self):
        made = {words[6]: {word.split("=")[1] for word in words[7:]} for words in commands("kubectl", "-n", "chat", "create", "secret")}
        own = {one["metadata"]["name"] for one in self.rendered["install"] if one["kind"] == "Secret"}
        for _, _, spec in serving(self.rendered["install"]):
            for secret in [volume["secret"] for volume in spec["volumes"] if "secret" in volume]:
                if secret["secretName"] not in own:
                    self.assertLessEqual({item["key"] for item in secret["items"]}, made[secret["secretName"]])

    def test_the_program_knows_its_command_lines(self):
        inside = [words[words.index("/starling") + 1:] for words in commands("kubectl") if "/starling" in words]
        outside = [words[1:] for words in commands("target/release/starling")]
        self.assertGreater(len(inside) + len(outside), 6)
        for words in inside + outside:
            done = subprocess.run([os.environ["STARLING"], *words, "--help"], capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, 0, f"{words}: {done.stderr}")

    def test_what_the_run_on_nodes_leaves_out_or_changes_is_in_it(self):
        for name, page in WALKS.items():
            there = page.lines()
            for table in page.tables():
                self.assertEqual([line for line in table if line not in there], [], name)
            self.assertEqual([line for line in there if "--watch" in line.split() and line not in page.endless], [], name)
            left = [line for line in there if line in page.left_out]
            self.assertGreater(len(there) - len(left), 3 * len(left), name)
