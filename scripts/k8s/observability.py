"""What must hold for alerts, runbooks and dashboards."""

import json
import pathlib
import re
import subprocess
import tempfile
import unittest
import urllib.request

import yaml

import dashboards
from rendering import CHART, ROOT, of_kind, rendered
from sending import Server

ALERTS = CHART / "files/alerts.yaml"
RUNBOOKS = ROOT / "docs/runbooks"
# Made by Prometheus itself.
OF_PROMETHEUS = {"up"}
WORDS = {
    "sum", "max", "min", "count", "by", "on", "and", "or", "unless", "rate", "increase", "changes", "absent", "time", "deriv", "min_over_time",
    "last_over_time", "histogram_quantile", "job", "instance", "le", "pod", "component", "reason", "kind", "direction", "operation", "outcome", "listener",
    "result", "condition", "state", "version", "domain", "namespace", "what", "method", "status",
}


def promtool(*arguments, given=None):
    done = subprocess.run(["promtool", *map(str, arguments)], input=given, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout + done.stderr


def rules():
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def alerts():
    return [rule for rule in rules() if "alert" in rule]


def reference():
    """Each metric of the reference with its kind."""
    rows = re.findall(r"^\| `([a-z_0-9]+)` \| (\w+) \|", (ROOT / "docs/reference/metrics.md").read_text(), re.M)
    return dict(rows)


def named(expression):
    """The metrics that an expression names."""
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^]]*\]|\$\w+', " ", expression)
    return {word for word in re.findall(r"[a-zA-Z_:][a-zA-Z0-9_:]*", bare) if word not in WORDS}


def expressions():
    """Every expression there is, with where it stands."""
    for rule in rules():
        yield rule.get("alert", rule.get("record")), rule["expr"]
    for name, text in dashboards.texts().items():
        for panel in json.loads(text)["panels"]:
            for target in panel["targets"]:
                yield f"{name}: {panel['title']}", target["expr"]
    for values in ("autoscaled", "keda"):
        objects = rendered(CHART / f"ci/{values}.yaml")
        for one in of_kind(objects, "HorizontalPodAutoscaler"):
            for metric in one["spec"]["metrics"]:
                if metric["type"] == "Pods":
                    yield values, metric["pods"]["metric"]["name"]
        for one in of_kind(objects, "ScaledObject"):
            yield values, one["spec"]["triggers"][0]["metadata"]["query"]


class Metrics(unittest.TestCase):
    def test_every_metric_that_is_named_exists(self):
        known, recorded = reference(), {rule["record"] for rule in rules() if "record" in rule}
        self.assertGreater(len(known), 30)
        for where, expression in expressions():
            with self.subTest(where):
                self.assertTrue(named(expression))
                for name in named(expression) - recorded - OF_PROMETHEUS:
                    base = name if name in known else re.sub("_(bucket|count|sum)$", "", name)
                    self.assertIn(base, known)
                    if base != name:
                        self.assertEqual(known[base], "histogram", name)

    def test_every_metric_is_in_a_dashboard(self):
        shown = set()
        for text in dashboards.texts().values():
            for panel in json.loads(text)["panels"]:
                shown |= set().union(*(named(target["expr"]) for target in panel["targets"]))
        shown |= {re.sub("_(bucket|count|sum)$", "", name) for name in shown}
        self.assertEqual(set(reference()) - shown, set())

    def test_every_metric_that_a_page_names_exists(self):
        # Crates are named alike, and variables of other programs begin with a sign. Flags of compilers are none. What is gone, the changelog tells.
        known, crates = reference(), {f"starling_{path.name}".replace("-", "_") for path in (ROOT / "crates").iterdir()}
        found = 0
        for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *CHART.rglob("*.yaml"), *CHART.rglob("NOTES.txt")]:
            for name in re.findall(r"(?<![\w$/.])(?<!--cfg )(?:xmpp|starling|tokio|rpc|process|tls)_[a-z][a-z_]+\b", page.read_text()):
                with self.subTest(f"{page.relative_to(ROOT)}: {name}"):
                    self.assertIn(re.sub("_(bucket|count|sum)$", "", name), known.keys() | crates)
                    found += 1
        self.assertGreater(found, 50)

    def test_buckets_that_are_named_exist(self):
        source = (ROOT / "crates/telemetry/src/metrics.rs").read_text()
        bounds = {float(one) for one in re.search(r"SECONDS: &\[f64\] =\s*&\[([^\]]+)\]", source)[1].split(",")}
        found = [float(one) for _, expression in expressions() for one in re.findall(r'le="([^"]+)"', expression)]
        self.assertTrue(found)
        self.assertLessEqual(set(found), bounds)

    def test_only_metrics_with_buckets_are_asked_for_them(self):
        # What ends otherwise has none (crates/telemetry): it would be a summary.
        for where, expression in expressions():
            for name in re.findall(r"(\w+)_bucket", expression):
                self.assertRegex(name, "_(seconds|requests|bytes|frames)$", where)

    def test_promtool_takes_what_a_running_program_serves_and_labels_that_are_named_are_there(self):
        with Server() as server:
            self.assertEqual(server.send().returncode, 0)
            text = urllib.request.urlopen(f"http://127.0.0.1:{server.admin}/metrics", timeout=10).read().decode()
        code, said = promtool("check", "metrics", given=text)
        self.assertEqual((code, said), (0, ""))
        samples = {}
        for name, labels in re.findall(r"^(\w+)(?:\{(.*)\})? ", text, re.M):
            samples.setdefault(name, []).append(dict(re.findall(r'(\w+)="([^"]*)"', labels)))
        checked = 0
        for where, expression in expressions():
            for name, inner in re.findall(r"(\w+)\{([^}]*)\}", expression):
                for label, operator, value in re.findall(r'(\w+)(=~|!=|=)"([^"]*)"', inner):
                    if name not in samples or label in ("job", "namespace", "pod"):
                        continue
                    values = {sample.get(label) for sample in samples[name]}
                    with self.subTest(f"{where}: {name} {label}"):
                        for one in value.split("|") if operator == "=~" else [value]:
                            self.assertIn(one, values)
                        checked += 1
        self.assertGreater(checked, 10)


class Alerts(unittest.TestCase):
    def test_promtool_finds_nothing_wrong(self):
        code, said = promtool("check", "rules", ALERTS)
        self.assertEqual(code, 0, said)

    def test_every_alert_has_its_page_and_every_page_its_alert(self):
        names = {rule["alert"] for rule in alerts()}
        self.assertEqual({page.stem for page in RUNBOOKS.glob("Starling*.md")}, names)
        for rule in alerts():
            self.assertTrue(rule["annotations"]["runbook_url"].endswith(f"/docs/runbooks/{rule['alert']}.md"), rule["alert"])
            self.assertIn(rule["labels"]["severity"], ("info", "warning", "critical"))

    def test_a_page_says_what_users_notice_where_to_look_and_what_to_do(self):
        for page in RUNBOOKS.glob("Starling*.md"):
            text = page.read_text()
            for word in (f"# {page.stem}\n", "**Users notice:**", "## Look\n\n- ", "## Mend\n\n- "):
                self.assertIn(word, text, page.name)
            for link in re.findall(r"\]\(([^)#]+)", text):
                self.assertTrue((RUNBOOKS / link).exists(), f"{page.name}: {link}")
            for metric in re.findall(r"`(?:rate\()?((?:xmpp|starling|tokio|process)_\w+)", text):
                self.assertIn(metric, reference(), page.name)

    def test_every_alert_is_fired_by_what_it_is_for_and_by_nothing_else(self):
        cases = yaml.safe_load((ROOT / "scripts/k8s/alerts.yaml").read_text())
        fired = [name for case in cases for name in case["fires"]]
        self.assertEqual(set(fired), {rule["alert"] for rule in alerts()})
        self.assertTrue([case for case in cases if not case["fires"]])
        tests = []
        for case in cases:
            at = case.get("at", "30m")
            series = [{"series": name, "values": values} for name, values in case["series"].items()]
            tests.append({"name": case["when"], "interval": "1m", "input_series": series, "promql_expr_test": [{
                "expr": 'count by (alertname) (ALERTS{alertstate="firing"})', "eval_time": at,
                "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": count} for name, count in case["fires"].items()]}]})
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "tests.yaml")
            path.write_text(json.dumps({"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": tests}))
            code, said = promtool("test", "rules", path)
        self.assertEqual(code, 0, said)


class Dashboards(unittest.TestCase):
    def test_they_are_as_written_by_the_script(self):
        found = {path.name: path.read_text() for path in dashboards.AT.glob("*.json")}
        self.assertEqual(found, dashboards.texts(), "run scripts/k8s/dashboards.py")

    def test_there_is_one_for_each_part(self):
        self.assertEqual({path.stem for path in dashboards.AT.glob("*.json")}, {"overview", "managers", "routers", "stores", "drain", "load"})

    def test_every_expression_can_be_evaluated(self):
        found = [(where, expression.replace("$__rate_interval", "5m").replace("$job", ".*")) for where, expression in expressions()]
        groups = [{"name": "all", "rules": [{"record": f"one:{index}".replace(":", "_"), "expr": one} for index, (_, one) in enumerate(found)]}]
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "rules.yaml")
            path.write_text(json.dumps({"groups": groups}))
            code, said = promtool("check", "rules", path)
        self.assertEqual(code, 0, said)

    def test_the_chart_hands_them_to_grafana_as_they_are(self):
        objects = rendered(CHART / "ci/autoscaled.yaml")
        boards = [one for one in of_kind(objects, "ConfigMap") if one["metadata"]["labels"].get("grafana_dashboard") == "1"]
        found = {name.removeprefix("starling-"): json.loads(text) for one in boards for name, text in one["data"].items()}
        self.assertEqual(found, {name: json.loads(text) for name, text in dashboards.texts().items()})

    def test_the_chart_hands_prometheus_the_rules_as_they_are(self):
        [rule] = of_kind(rendered(CHART / "ci/autoscaled.yaml"), "PrometheusRule")
        self.assertEqual(rule["spec"], yaml.safe_load(ALERTS.read_text()))

    def test_metrics_are_scraped_where_they_are_served(self):
        objects = rendered(CHART / "ci/autoscaled.yaml")
        [monitor] = of_kind(objects, "PodMonitor")
        [endpoint] = monitor["spec"]["podMetricsEndpoints"]
        self.assertEqual((endpoint["port"], endpoint["path"]), ("admin", "/metrics"))
        for one in of_kind(objects, "Deployment"):
            labels = one["spec"]["template"]["metadata"]["labels"]
            self.assertLessEqual(monitor["spec"]["selector"]["matchLabels"].items(), labels.items())
            self.assertIn(labels["app.kubernetes.io/component"], monitor["spec"]["selector"]["matchExpressions"][0]["values"])
