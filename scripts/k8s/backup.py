"""The pods and commands of docs/how-to/backup.md for Kubernetes: valid, restricted, with the chart's volume, and what they do by the program itself."""

import os
import pathlib
import re
import shlex
import subprocess
import unittest

import kubernetes_validate
import yaml

from rendering import ROOT, VALUES, VERSIONS, container, named, of_kind, rendered, selects, serving
from sending import Server

PAGE = (ROOT / "docs/how-to/backup.md").read_text().partition("## On Kubernetes")[2].partition("\n## ")[0]


def files():
    """By their names."""
    blocks = re.findall(r"^    # (\S+\.yaml)\n((?:    .*\n)+)", PAGE, re.MULTILINE)
    return {name: yaml.safe_load(re.sub("^    ", "", text, flags=re.MULTILINE)) for name, text in blocks}


def commands():
    return [shlex.split(line) for line in re.findall(r"^    ((?:kubectl|tar) .*)", PAGE, re.MULTILINE)]


class Backup(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.objects = [{**one, "metadata": {**one["metadata"], "name": one["metadata"]["name"].replace("x-starling", "starling")}}
                       for one in rendered(VALUES[0])]
        [cls.server] = serving(cls.objects)

    def test_both_pods_are_valid_and_restricted_and_run_as_the_servers_user(self):
        self.assertEqual(sorted(files()), ["restore.yaml", "volume.yaml"])
        for name, pod in files().items():
            for version in VERSIONS:
                kubernetes_validate.validate(pod, version, strict=True)
            spec = pod["spec"]
            self.assertEqual(spec["securityContext"], self.server[2]["securityContext"], name)
            self.assertIs(spec["automountServiceAccountToken"], False)
            for one in spec["containers"] + spec.get("initContainers", []):
                for key, value in container(self.server[2])["securityContext"].items():
                    self.assertEqual(one["securityContext"][key], value, name)

    def test_they_have_the_volume_of_the_chart_where_the_server_has_it(self):
        [made] = of_kind(self.objects, "StatefulSet")
        [claim] = made["spec"]["volumeClaimTemplates"]
        [mount] = [mount for mount in container(self.server[2])["volumeMounts"] if mount["name"] == claim["metadata"]["name"]]
        for name, pod in files().items():
            [volume] = pod["spec"]["volumes"]
            self.assertEqual(volume["persistentVolumeClaim"]["claimName"], f"{claim['metadata']['name']}-{made['metadata']['name']}-0", name)
            for one in pod["spec"]["containers"] + pod["spec"].get("initContainers", []):
                self.assertEqual(one["volumeMounts"], [{"name": volume["name"], "mountPath": mount["mountPath"]}], name)

    def test_the_reader_goes_where_the_server_is_and_nothing_takes_it_for_the_server(self):
        [term] = files()["volume.yaml"]["spec"]["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        labels = {**self.server[1]["labels"], "app.kubernetes.io/instance": "starling"}
        self.assertTrue(selects(term["labelSelector"]["matchLabels"], labels))
        for pod in files().values():
            for one in of_kind(self.objects, "Service"):
                self.assertFalse(selects(one["spec"]["selector"], pod["metadata"]["labels"]))

    def test_its_commands_name_what_is_there(self):
        pods = {pod["metadata"]["name"] for pod in files().values()} | {"starling-embedded-0"}
        named(self.objects, "StatefulSet", "starling-embedded")
        for words in commands():
            for word in words:
                if word.startswith("starling-"):
                    self.assertIn(word, pods, words)
                kind, slash, name = word.partition("/")
                if kind in ("pod", "statefulset") and slash:
                    self.assertIn(name, pods | {"starling-embedded"}, words)
                if word.endswith(".yaml"):
                    self.assertIn(word, files(), words)

    def test_what_they_do_with_a_store_brings_it_back(self):
        restore = files()["restore.yaml"]["spec"]
        [backup] = [words[words.index("--") + 1:] for words in commands() if "backup" in words]
        with Server() as server:
            folder = server.folder.name

            def run(words):
                here = [word.replace("/etc/starling/config/starling.toml", server.config).replace("/var/lib/starling", folder) for word in words]
                done = subprocess.run([os.environ["STARLING"] if here[0] == "/starling" else here[0], *here[1:]], capture_output=True, text=True, timeout=60)
                self.assertEqual(done.returncode, 0, f"{here}: {done.stdout}{done.stderr}")
                return done.stdout

            ctl = ["/starling", "ctl", "--config", server.config]
            run([*ctl, "user", "add", "kept@localhost", "secret-of-kept"])
            run(backup)
            run([*ctl, "user", "add", "later@localhost", "secret-of-later"])
            server.process.terminate()
            server.process.wait(60)
            run(restore["initContainers"][0]["command"])
            run(["/starling", *restore["containers"][0]["args"]])
            self.assertTrue(os.path.isdir(f"{folder}/broken"))
            run(["/starling", "store", "check", "--data-dir", f"{folder}/data"])
            run(["/starling", "export", "--data-dir", f"{folder}/data", f"{folder}/accounts.xml"])
            accounts = pathlib.Path(folder, "accounts.xml").read_text()
            self.assertRegex(accounts, "name=['\"]kept['\"]")
            self.assertNotIn("later", accounts)
