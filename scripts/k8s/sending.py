"""`helm test` without a cluster: its script against the program, and what it says when messages are missing."""

import http.client
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest

from rendering import CHART, VALUES, of_kind, rendered

SCRIPT = CHART / "files/send.py"


# Nobody listens there (tcpmux).
CLOSED = 1


class Server:
    """The program on ports that the system chooses, with accounts for anybody."""

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        config = pathlib.Path(self.folder.name, "starling.toml")
        config.write_text(
            f'data-dir = "{self.folder.name}/data"\n'
            '[listen]\nc2s = ["127.0.0.1:0"]\ndirect-tls = ["127.0.0.1:0"]\nhttp = []\nhttps = []\n'
            '[admin]\nlisten = "127.0.0.1:0"\n[im.registration]\nenabled = true\n'
        )
        self.config = str(config)
        variables = {key: value for key, value in os.environ.items() if not key.startswith("STARLING")}
        self.log = open(f"{self.folder.name}/log", "w")
        self.process = subprocess.Popen([os.environ["STARLING"], "run", "--config", config], env=variables,
                                        stdout=self.log, stderr=self.log)
        until = time.monotonic() + 120
        while not (status := self.status()):
            if time.monotonic() > until or self.process.poll() is not None:
                raise AssertionError(pathlib.Path(self.log.name).read_text())
            time.sleep(0.05)
        addresses = status["addresses"]
        self.c2s, self.tls, self.admin = (int(addresses[name][0].rpartition(":")[2]) for name in ("c2s", "direct-tls", "admin"))
        return self

    def status(self):
        """What it says of itself, once it can be asked."""
        asked = subprocess.run([os.environ["STARLING"], "ctl", "--config", self.config, "status", "--json"], capture_output=True, text=True)
        return json.loads(asked.stdout) if asked.returncode == 0 else None

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(60)
        self.log.close()
        self.folder.cleanup()

    def get(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=30)
        connection.request("GET", path)
        return connection.getresponse().status

    def ctl(self, *words):
        return subprocess.run([os.environ["STARLING"], "ctl", "--config", self.config, *words], capture_output=True, text=True, check=True).stdout

    def send(self, **variables):
        given = {"HOST": "127.0.0.1", "DOMAIN": "localhost", "MESSAGES": "5", "WAYS": f"starttls:{self.c2s},tls:{self.tls}", **variables}
        return subprocess.run([sys.executable, "-B", SCRIPT], env=given, capture_output=True, text=True, timeout=120)


class Sending(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Server())

    def test_the_program_answers_what_the_probes_ask(self):
        self.assertEqual([self.server.get(path) for path in ("/startupz", "/readyz", "/livez", "/metrics")], [200] * 4)

    def test_messages_come_by_both_ways_and_the_guest_leaves_no_account(self):
        done = self.server.send()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.count("5 messages sent, 5 received, in order"), 2)
        self.assertNotIn("helm-test", self.server.ctl("user", "list"))

    def test_an_account_that_is_given_is_used_and_stays(self):
        self.server.ctl("user", "add", "probe@localhost", "pa=ss,word")
        done = self.server.send(ACCOUNT="probe@localhost", PASSWORD="pa=ss,word")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("probe@localhost", self.server.ctl("user", "list"))

    def test_a_wrong_password_fails_it(self):
        done = self.server.send(ACCOUNT="nobody@localhost", PASSWORD="wrong")
        self.assertEqual(done.returncode, 1)
        self.assertIn("not-authorized", done.stderr)

    def test_a_server_that_is_not_there_fails_it(self):
        done = self.server.send(WAYS=f"starttls:{CLOSED}")
        self.assertEqual(done.returncode, 1)
        self.assertIn("refused", done.stderr)

    def test_the_pod_runs_this_script_against_the_service(self):
        for values in VALUES:
            objects = rendered(values)
            [pod] = of_kind(objects, "Pod")
            [volume] = pod["spec"]["volumes"]
            [script] = [one for one in of_kind(objects, "ConfigMap") if one["metadata"]["name"] == volume["configMap"]["name"]]
            self.assertEqual(script["data"]["send.py"].rstrip(), SCRIPT.read_text().rstrip())
            variables = {one["name"]: one.get("value") for one in pod["spec"]["containers"][0]["env"]}
            name, namespace, svc = variables["HOST"].split(".")
            [service] = [one for one in of_kind(objects, "Service") if one["metadata"]["name"] == name]
            ports = {str(port["port"]) for port in service["spec"]["ports"]}
            self.assertEqual((namespace, svc), ("chat", "svc"))
            self.assertLessEqual({way.split(":")[1] for way in variables["WAYS"].split(",")}, ports)
