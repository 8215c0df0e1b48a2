"""What must hold for the chart, whatever its values."""

import functools
import json
import os
import pathlib
import re
import subprocess
import tempfile
import tomllib
import unittest

import kubernetes_validate
import yaml
from kubernetes_validate import utils

from apiserver import ApiServer, revision
from rendering import (CHART, FOREIGN, NAMESPACE, ROOT, VALUES, VERSIONS, container, everywhere, helm, named, of_kind, part, pods,
                       rendered, selects, serving, strings)

# Pods that a namespace with Pod Security `restricted` refuses: an image that runs as root.
BASELINE = {"x-starling-dev-scylla"}

# It reads the same megabytes for each object.
utils.schema_contents = functools.cache(utils.schema_contents)


class Schemas(unittest.TestCase):
    def test_helm_lint_finds_nothing(self):
        for values in VALUES:
            with self.subTest(values.stem):
                code, out, err = helm("lint", "--strict", CHART, "-f", values)
                self.assertEqual(code, 0, out + err)

    def test_every_object_is_valid_for_several_versions_of_kubernetes(self):
        checked = 0
        for name, objects in everywhere():
            for one in objects:
                if one["apiVersion"].split("/")[0] in FOREIGN:
                    continue
                for version in VERSIONS:
                    with self.subTest(f"{name}: {one['kind']} {one['metadata']['name']} for {version}"):
                        kubernetes_validate.validate(one, version, strict=True)
                        checked += 1
        self.assertGreater(checked, 200)

    def test_a_misspelt_field_would_be_found(self):
        deployment = json.loads(json.dumps(of_kind(rendered(CHART / "ci/cluster.yaml"), "Deployment")[0]))
        container(deployment["spec"]["template"]["spec"])["lifecycle"]["preStop"]["sleeep"] = {"seconds": 1}
        with self.assertRaises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(deployment, "1.34", strict=True)

    def test_objects_for_other_controllers_keep_to_their_schemas(self):
        objects = [one for _, objects in everywhere() for one in objects if one["apiVersion"].split("/")[0] in FOREIGN]
        kinds = {one["kind"] for one in objects}
        self.assertEqual(kinds, {"Certificate", "Issuer", "ScaledObject", "PodMonitor", "ServiceMonitor", "PrometheusRule"})
        self.assertEqual(foreign_faults(objects), "")
        [scaled] = of_kind(objects, "ScaledObject")
        wrong = {**scaled, "spec": {**scaled["spec"], "minReplicaCount": "two"}}
        self.assertIn("minReplicaCount", foreign_faults([wrong]))

    def test_notes_say_address_user_tls_and_first_message(self):
        for values in VALUES:
            with self.subTest(values.stem):
                kinds = {(one["apiVersion"], one["kind"]) for one in rendered(values)}
                with ApiServer(NAMESPACE, kinds=kinds) as server:
                    code, out, err = helm("install", "x", CHART, "-n", NAMESPACE, "--dry-run=client", "-f", values,
                                          "--disable-openapi-validation", "--kube-apiserver", server.url)
                self.assertEqual(code, 0, err)
                notes = out.partition("NOTES:")[2]
                for word in ("get service", "user add me@", "openssl s_client", "first message", "helm -n chat test"):
                    self.assertIn(word, notes)

    def notes(self, values, *more, deployments=()):
        kinds = {(one["apiVersion"], one["kind"]) for one in rendered(values, *more)}
        with ApiServer(NAMESPACE, deployments, kinds=kinds) as server:
            code, out, err = helm("install", "x", CHART, "-n", NAMESPACE, "--dry-run=server", "--take-ownership", "-f", values, *more,
                                  "--disable-openapi-validation", "--kube-apiserver", server.url)
        self.assertEqual(code, 0, err)
        return out.partition("NOTES:")[2]

    def test_notes_promise_no_pod_that_is_not_there(self):
        notes = self.notes(CHART / "ci/embedded.yaml", "--set", "service.ports.c2s=0,service.ports.directTls=0")
        self.assertNotIn("helm -n chat test", notes)
        self.assertIn("STARTTLS or direct TLS, and service.ports opens neither", notes)
        self.assertIn("5222:5443 &", notes)

    def test_notes_say_when_prometheus_may_read_nothing(self):
        said = "networkPolicy.monitoring names nobody"
        self.assertIn(f"The ServiceMonitor finds pods that Prometheus may not read: {said}", self.notes(CHART / "ci/cluster.yaml"))
        self.assertNotIn(said, self.notes(CHART / "ci/autoscaled.yaml"))
        self.assertNotIn(said, self.notes(CHART / "ci/cluster.yaml", "--set", "networkPolicy.enabled=false"))
        self.assertNotIn(said, self.notes(CHART / "ci/cluster.yaml", "--set", "monitoring.serviceMonitor.enabled=false"))

    def test_notes_say_which_pods_an_upgrade_takes_away(self):
        there = {"x-starling-manager": 9, "x-starling-router": 3}
        notes = self.notes(CHART / "ci/cluster.yaml", deployments=there)
        self.assertIn("x-starling-manager had 9 pods, and this revision says 2: the others leave, all at once.\nmanager.replicas, or", notes)
        self.assertNotIn("x-starling-router had", notes)
        self.assertNotIn("x-starling-manager had", self.notes(CHART / "ci/cluster.yaml", "--set", "manager.replicas=9", deployments=there))
        self.assertNotIn("x-starling-manager had", self.notes(CHART / "ci/autoscaled.yaml", deployments=there))
        self.assertIn("had 21 pods, and this revision says 20", self.notes(CHART / "ci/autoscaled.yaml", deployments={"x-starling-manager": 21}))


def foreign_faults(objects):
    done = subprocess.run(["node", ROOT / "scripts/k8s/crds.mjs"], input=json.dumps(objects, default=str), capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(done.stderr)
    return done.stdout


class Pods(unittest.TestCase):
    def each(self, found):
        for name, objects in everywhere():
            for pod in found(objects):
                with self.subTest(f"{name}: {pod[0]}"):
                    yield objects, *pod

    def test_pods_are_restricted(self):
        for _, name, _, spec in self.each(pods):
            security = spec["securityContext"]
            self.assertEqual(security["seccompProfile"]["type"], "RuntimeDefault")
            self.assertFalse({"hostNetwork", "hostPID", "hostIPC"} & set(spec))
            self.assertFalse([one for one in spec["volumes"] if "hostPath" in one])
            containers = spec["containers"] + spec.get("initContainers", [])
            for one in containers:
                self.assertFalse([port for port in one.get("ports", []) if "hostPort" in port])
                self.assertIn("memory", one["resources"]["limits"])
            if name in BASELINE:
                # The rest of `baseline`: nothing is asked for.
                self.assertFalse([one for one in containers if "securityContext" in one])
                continue
            self.assertEqual((security["runAsNonRoot"], security["runAsUser"]), (True, 999 if "-dev-" in name else 65532))
            for one in containers:
                own = one["securityContext"]
                self.assertEqual(own["capabilities"], {"drop": ["ALL"]})
                self.assertIs(own["allowPrivilegeEscalation"], False)
                self.assertIs(own["readOnlyRootFilesystem"], True)

    def test_a_page_that_brings_a_pod_of_baseline_says_so(self):
        guide, tutorial = [(ROOT / f"docs/{page}/kubernetes.md").read_text() for page in ("how-to", "tutorials")]
        for page in (guide, tutorial):
            self.assertIn("pod-security.kubernetes.io/enforce=baseline", page)
        self.assertNotIn("enforce=restricted", tutorial)

    def test_nobody_gets_a_token_or_variables_of_services(self):
        # A Service called `starling` would set STARLING_SERVICE_HOST, and the server refuses keys that it does not know.
        for _, _, _, spec in self.each(pods):
            self.assertIs(spec["automountServiceAccountToken"], False)
            self.assertIs(spec["enableServiceLinks"], False)

    def test_three_different_probes_ask_the_admin_listener(self):
        for _, _, _, spec in self.each(serving):
            probes = [container(spec)[kind + "Probe"]["httpGet"] for kind in ("startup", "readiness", "liveness")]
            self.assertEqual([probe["path"] for probe in probes], ["/startupz", "/readyz", "/livez"])
            self.assertEqual({probe["port"] for probe in probes}, {"admin"})

    def test_a_pod_that_waits_for_its_stores_is_not_started_anew(self):
        for _, _, _, spec in self.each(serving):
            probe = container(spec)["startupProbe"]
            self.assertGreaterEqual(probe["periodSeconds"] * probe["failureThreshold"], 14 * 86_400)

    def test_the_grace_period_is_longer_than_the_drain(self):
        for objects, name, meta, spec in self.each(serving):
            sleep = container(spec).get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
            window = 0
            if part(meta["labels"]) == "manager":
                window = int(config_of(objects, spec)["drain"]["window"].rstrip("s"))
            # The program asks for the window and a minute; without a window for its 25 seconds and some more.
            self.assertGreaterEqual(spec["terminationGracePeriodSeconds"], sleep + window + (60 if window else 30))

    def test_a_slow_drain_of_many_connections_lengthens_the_grace_period(self):
        objects = rendered(CHART / "ci/cluster.yaml", "--set", "drain.maxRate=100,manager.connectionsPerPod=50000")
        [(_, _, spec)] = [pod for pod in serving(objects) if pod[0].endswith("manager")]
        self.assertEqual(spec["terminationGracePeriodSeconds"], 5 + 2 * 50000 // 100 + 60)

    def test_every_mount_has_its_volume_and_every_volume_is_mounted(self):
        for objects, name, _, spec in self.each(pods):
            claims = [claim["metadata"]["name"] for one in of_kind(objects, "StatefulSet") if one["metadata"]["name"] == name
                      for claim in one["spec"].get("volumeClaimTemplates", [])]
            mounted = {mount["name"] for one in spec["containers"] + spec.get("initContainers", []) for mount in one["volumeMounts"]}
            self.assertEqual(mounted, {volume["name"] for volume in spec["volumes"]} | set(claims))

    def test_every_configmap_that_is_mounted_is_there_when_the_pod_starts(self):
        for objects, name, meta, spec in self.each(pods):
            for volume in spec["volumes"]:
                if "configMap" in volume:
                    found = named(objects, "ConfigMap", volume["configMap"]["name"])
                    is_hook = part(meta["labels"]) == "migration"
                    self.assertEqual("helm.sh/hook" in found["metadata"].get("annotations", {}), is_hook or part(meta["labels"]) == "test")

    def test_a_node_is_called_as_its_pod(self):
        for _, _, meta, spec in self.each(serving):
            names = [one for one in container(spec)["env"] if one["name"] == "STARLING_CLUSTER_NAME"]
            if part(meta["labels"]) != "embedded":
                self.assertEqual(names[0]["valueFrom"]["fieldRef"]["fieldPath"], "metadata.name")

    def test_pods_start_anew_for_their_own_configuration_only(self):
        def sums(*more):
            return {name: meta["annotations"]["checksum/config"] for name, meta, _ in serving(rendered(CHART / "ci/cluster.yaml", *more))}
        before = sums()
        self.assertEqual(before, sums("--set", "router.replicas=5,service.type=NodePort"))
        after = sums("--set", "scylla.datacenter=dc2")
        self.assertEqual(before["x-starling-manager"], after["x-starling-manager"])
        self.assertNotEqual(before["x-starling-router"], after["x-starling-router"])
        self.assertNotIn("helm.sh/chart", str(serving(rendered(CHART / "ci/cluster.yaml"))))

    def test_pods_are_spread_over_zones_and_nodes(self):
        for _, _, meta, spec in self.each(serving):
            keys = [one["topologyKey"] for one in spec["topologySpreadConstraints"]]
            self.assertEqual(keys, ["topology.kubernetes.io/zone", "kubernetes.io/hostname"])
            for one in spec["topologySpreadConstraints"]:
                self.assertTrue(selects(one["labelSelector"]["matchLabels"], meta["labels"]))

    def test_pods_of_hooks_go_where_the_part_goes_that_they_are_for(self):
        words = "router.nodeSelector.pool=stores,manager.nodeSelector.pool=edge,manager.tolerations[0].key=edge,manager.tolerations[0].operator=Exists"
        placed = {part(meta["labels"]): (spec.get("nodeSelector"), spec.get("tolerations"))
                  for _, meta, spec in pods(rendered(CHART / "ci/cluster.yaml", "--set", words))}
        self.assertEqual(placed["router"][0], {"pool": "stores"})
        self.assertEqual(placed["migration"], placed["router"])
        self.assertEqual(placed["manager"], ({"pool": "edge"}, [{"key": "edge", "operator": "Exists"}]))
        self.assertEqual(placed["test"], placed["manager"])
        placed = {part(meta["labels"]): spec.get("nodeSelector")
                  for _, meta, spec in pods(rendered(CHART / "values.yaml", "--set", "embedded.nodeSelector.pool=chat"))}
        self.assertEqual(placed, {"embedded": {"pool": "chat"}, "test": {"pool": "chat"}})

    def test_pods_are_apart_where_nodes_know_no_zones(self):
        # There the scheduler looks at none of the constraints, because one of their keys is missing.
        for _, _, meta, spec in self.each(serving):
            if part(meta["labels"]) == "embedded":
                self.assertNotIn("affinity", spec)
                continue
            [one] = spec["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
            term = one["podAffinityTerm"]
            self.assertEqual((term["topologyKey"], term["matchLabelKeys"]), ("kubernetes.io/hostname", ["pod-template-hash"]))
            self.assertTrue(selects(term["labelSelector"]["matchLabels"], meta["labels"]))
        own = rendered(CHART / "ci/cluster.yaml", "--set", "manager.affinity.nodeAffinity.x=1")
        [(_, _, spec)] = [pod for pod in serving(own) if pod[0].endswith("manager")]
        self.assertEqual(list(spec["affinity"]), ["nodeAffinity"])


def config_of(objects, spec):
    [name] = [volume["configMap"]["name"] for volume in spec["volumes"] if volume["name"] == "config"]
    return tomllib.loads(named(objects, "ConfigMap", name)["data"]["starling.toml"])


class Numbers(unittest.TestCase):
    def replicas(self, values, *more):
        found = of_kind(rendered(CHART / "ci" / values, *more), "Deployment")
        return {part(one["metadata"]["labels"]): one["spec"]["replicas"] for one in found}

    def test_every_deployment_says_how_many(self):
        self.assertEqual(self.replicas("cluster.yaml"), {"manager": 2, "router": 3})
        self.assertEqual(self.replicas("autoscaled.yaml"), {"manager": 3, "router": 3})
        self.assertEqual(self.replicas("keda.yaml")["manager"], 2)

    def test_an_upgrade_keeps_what_the_autoscaler_has_decided(self):
        for live, wanted in [(7, 7), (100, 20), (1, 3), (None, 3)]:
            with self.subTest(live), ApiServer(NAMESPACE, {"x-starling-manager": live, "x-starling-router": 4}) as server:
                code, out, err = helm("template", "x", CHART, "-n", NAMESPACE, "-f", CHART / "ci/autoscaled.yaml", "--dry-run=server",
                                      "--disable-openapi-validation", "--kube-apiserver", server.url)
                self.assertEqual(code, 0, err)
                objects = [one for one in yaml.safe_load_all(out) if one]
                self.assertEqual(named(objects, "Deployment", "x-starling-manager")["spec"]["replicas"], wanted)
                self.assertEqual(named(objects, "Deployment", "x-starling-router")["spec"]["replicas"], 4)
                self.assertIn("/apis/apps/v1/namespaces/chat/deployments/x-starling-manager", server.asked)

    def test_the_way_back_of_the_guide_keeps_what_a_rollback_would_not(self):
        former, values = CHART / "ci/autoscaled.yaml", yaml.safe_load((CHART / "ci/autoscaled.yaml").read_text())
        stored = helm("template", "x", CHART, "-n", NAMESPACE, "-f", former)[1]
        with ApiServer(NAMESPACE, {"x-starling-manager": 8}, revision("x", 3, values, stored)) as server, tempfile.TemporaryDirectory() as folder:
            at = ("-n", NAMESPACE, "--kube-apiserver", server.url)
            code, out, err = helm("get", "manifest", "x", "--revision", 3, *at)
            self.assertEqual(code, 0, err)
            # What `helm rollback` applies.
            self.assertEqual(self.managers(out), 3)
            code, out, err = helm("get", "values", "x", "--revision", 3, "-o", "yaml", *at)
            self.assertEqual(code, 0, err)
            path = pathlib.Path(folder, "former.yaml")
            path.write_text(out)
            for more, wanted in [((), 8), (("--set", "manager.autoscaling.by=none,manager.replicas=8"), 8), (("--set", "manager.autoscaling.by=none"), 2)]:
                code, out, err = helm("template", "x", CHART, "-f", path, *more, "--dry-run=server", "--disable-openapi-validation", *at)
                self.assertEqual(code, 0, err)
                self.assertEqual(self.managers(out), wanted, more)

    def managers(self, text):
        return named([one for one in yaml.safe_load_all(text) if one], "Deployment", "x-starling-manager")["spec"]["replicas"]

    def test_an_upgrade_keeps_the_secret_of_the_routers(self):
        with ApiServer(NAMESPACE, secrets={"x-starling-cluster": {"secret": "a2VwdA=="}}) as server:
            code, out, err = helm("template", "x", CHART, "-n", NAMESPACE, "-f", CHART / "ci/autoscaled.yaml", "--dry-run=server",
                                  "--disable-openapi-validation", "--kube-apiserver", server.url)
            self.assertEqual(code, 0, err)
            self.assertIn("secret: a2VwdA==", out)

    def test_a_rollout_never_has_fewer_pods(self):
        for name, objects in everywhere():
            for one in of_kind(objects, "Deployment"):
                self.assertEqual(one["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"], 0, name)

    def test_both_autoscalers_scale_down_one_pod_at_a_time(self):
        [hpa] = [one for one in of_kind(rendered(CHART / "ci/autoscaled.yaml"), "HorizontalPodAutoscaler")
                 if one["metadata"]["name"].endswith("manager")]
        [keda] = of_kind(rendered(CHART / "ci/keda.yaml"), "ScaledObject")
        self.assertEqual(hpa["spec"]["behavior"], keda["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"])
        down = hpa["spec"]["behavior"]["scaleDown"]
        self.assertEqual(down["stabilizationWindowSeconds"], 1800)
        self.assertEqual(down["policies"], [{"type": "Pods", "value": 1, "periodSeconds": 300}])
        self.assertNotIn("fallback", keda["spec"])

    def test_budgets_select_the_pods_of_their_deployment_and_no_others(self):
        for name, objects in everywhere():
            for one in of_kind(objects, "PodDisruptionBudget"):
                with self.subTest(name):
                    wanted = one["spec"]["selector"]["matchLabels"]
                    found = [pod for pod, meta, _ in pods(objects) if selects(wanted, meta["labels"])]
                    self.assertEqual(found, [one["metadata"]["name"]])

    def test_there_is_one_embedded_pod_and_it_is_the_only_statefulset(self):
        objects = rendered(CHART / "ci/embedded.yaml")
        [one] = of_kind(objects, "StatefulSet", "Deployment")
        self.assertEqual((one["kind"], one["spec"]["replicas"]), ("StatefulSet", 1))
        self.assertEqual(one["spec"]["persistentVolumeClaimRetentionPolicy"], {"whenDeleted": "Retain", "whenScaled": "Retain"})


class Network(unittest.TestCase):
    def test_services_find_pods_and_their_ports(self):
        for name, objects in everywhere():
            for service in of_kind(objects, "Service"):
                with self.subTest(f"{name}: {service['metadata']['name']}"):
                    [spec] = [spec for _, meta, spec in pods(objects) if selects(service["spec"]["selector"], meta["labels"])]
                    named = {port["name"] for port in container(spec)["ports"]}
                    self.assertLessEqual({port.get("targetPort", port["name"]) for port in service["spec"]["ports"]}, named)

    def test_managers_find_each_router_by_a_headless_service(self):
        objects = rendered(CHART / "ci/autoscaled.yaml")
        [(_, _, spec)] = [pod for pod in serving(objects) if pod[0].endswith("manager")]
        [router] = config_of(objects, spec)["cluster"]["routers"]
        host, port = router.split(":")
        service = named(objects, "Service", host)
        self.assertEqual(service["spec"]["clusterIP"], "None")
        self.assertIs(service["spec"]["publishNotReadyAddresses"], True)
        self.assertEqual(service["spec"]["ports"][0]["port"], int(port))

    def test_everything_is_closed_but_what_is_needed(self):
        for name, objects in everywhere():
            policies = of_kind(objects, "NetworkPolicy")
            if not policies:
                self.assertEqual(name, "keda")
                continue
            for pod, meta, spec in serving(objects):
                with self.subTest(f"{name}: {pod}"):
                    [policy] = [one["spec"] for one in policies if selects(one["spec"]["podSelector"]["matchLabels"], meta["labels"])]
                    self.assertEqual(policy["policyTypes"], ["Ingress", "Egress"])
                    own = {"admin", "api"}  # only for those who are named
                    opened = {port["port"] for rule in policy["ingress"] for port in rule["ports"]} - own
                    self.assertEqual(opened, {port["name"] for port in container(spec)["ports"]} - own)
                    for rule in policy["egress"]:
                        self.assertTrue(rule["ports"])

    def test_the_image_names_the_ports_that_its_pods_open(self):
        exposed = re.search(r"^EXPOSE (.*)$", (ROOT / "deploy/docker/Dockerfile").read_text(), re.M)[1]
        opened = {port["containerPort"] for _, objects in everywhere() for _, _, spec in serving(objects) for port in container(spec)["ports"]}
        self.assertEqual(opened, {int(port) for port in exposed.split()})

    def test_only_managers_reach_routers_and_only_routers_reach_stores(self):
        objects = rendered(CHART / "ci/autoscaled.yaml")
        [router, manager] = [named(objects, "NetworkPolicy", f"x-starling-{one}")["spec"] for one in ("router", "manager")]
        [link] = [rule for rule in router["ingress"] if rule["ports"] == [{"port": "link", "protocol": "TCP"}]]
        self.assertEqual([part(peer["podSelector"]["matchLabels"]) for peer in link["from"]], ["manager"])
        ports = {port["port"] for rule in router["egress"] for port in rule["ports"]}
        self.assertLessEqual({6379, 26379, 9042}, ports)
        self.assertFalse({6379, 9042} & {port["port"] for rule in manager["egress"] for port in rule["ports"]})
        self.assertIn(5290, {port["port"] for rule in manager["egress"] for port in rule["ports"]})
        metrics = [rule for rule in manager["ingress"] if rule["ports"] == [{"port": "admin", "protocol": "TCP"}]]
        self.assertEqual(metrics[0]["from"], [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}])

    def test_nobody_reads_metrics_unless_told(self):
        for one in of_kind(rendered(CHART / "ci/cluster.yaml"), "NetworkPolicy"):
            self.assertNotIn("admin", str(one["spec"]))


class Secrets(unittest.TestCase):
    def test_no_secret_is_in_a_configmap(self):
        given = ["redis.passwordKey=redis-password", "scylla.passwordKey=pw"]
        for name, objects in everywhere() + [("given", rendered(CHART / "ci/cluster.yaml", "--set", ",".join(given)))]:
            for one in of_kind(objects, "ConfigMap"):
                with self.subTest(f"{name}: {one['metadata']['name']}"):
                    for text in strings(one["data"]):
                        self.assertNotRegex(text, r"-----BEGIN|:[^/\s:@]+@")
                    if "starling.toml" in one["data"]:
                        for key, value in leaves(tomllib.loads(one["data"]["starling.toml"])):
                            if re.search(r"password|secret|token|key$", key):
                                self.assertRegex(value, "^/etc/starling/", key)

    def test_every_secret_is_the_operators_or_made_by_an_issuer_or_the_one_of_the_routers(self):
        for name, objects in everywhere():
            made = {one["spec"]["secretName"] for one in of_kind(objects, "Certificate")}
            own = {one["metadata"]["name"] for one in of_kind(objects, "Secret")}
            self.assertLessEqual(own, {one for one in own if one.endswith("-cluster")}, name)
            used = {volume["secret"]["secretName"] for _, _, spec in pods(objects) for volume in spec["volumes"] if "secret" in volume}
            given = set(strings(yaml_of(name)))
            self.assertLessEqual(used, made | own | given, name)

    def test_node_certificates_name_their_role_and_are_for_both_ends(self):
        objects = rendered(CHART / "ci/autoscaled.yaml")
        for short, role in [("manager", "connection-manager"), ("router", "session-router")]:
            spec = named(objects, "Certificate", f"x-starling-{short}")["spec"]
            self.assertEqual(spec["uris"], [f"spiffe://starling/{role}"])
            self.assertLessEqual({"client auth", "server auth"}, set(spec["usages"]))
            self.assertIn(f'"spiffe://starling/{{}}"', (ROOT / "crates/rpc/src/role.rs").read_text())
            self.assertIn(f'"{role}"', (ROOT / "crates/rpc/src/role.rs").read_text())

    def test_files_of_secrets_are_not_for_everybody(self):
        for _, objects in everywhere():
            for _, _, spec in pods(objects):
                for volume in spec["volumes"]:
                    if "secret" in volume:
                        self.assertEqual(volume["secret"]["defaultMode"], 0o440)


def yaml_of(name):
    [path] = [one for one in VALUES if one.stem == name]
    return yaml.safe_load(path.read_text())


def leaves(table, path=""):
    for key, value in table.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{path}{key}.")
        else:
            yield path + key, value


class Program(unittest.TestCase):
    """What the chart gives the program, given to the program."""

    def test_the_program_takes_every_configuration(self):
        starling = os.environ["STARLING"]
        with tempfile.TemporaryDirectory() as folder:
            for role in ("connection-manager", "session-router"):
                subprocess.run([starling, "certificate", "--directory", folder, "--roles", role, role], check=True, capture_output=True)
            for domain in ("example.org", "chat.example.net"):
                subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=x",
                                "-addext", f"subjectAltName=DNS:{domain}", "-days", "30", "-keyout", f"{folder}/{domain}.key",
                                "-out", f"{folder}/{domain}.crt"], check=True, capture_output=True)
            pathlib.Path(folder, "headers").write_text("authorization: Bearer x\n")
            checked = 0
            for name, objects in everywhere():
                for pod, meta, spec in pods(objects):
                    if part(meta["labels"]) not in ("manager", "router", "embedded", "migration"):
                        continue
                    with self.subTest(f"{name}: {pod}"):
                        done = self.check(starling, folder, objects, spec, part(meta["labels"]))
                        checked += 1
                        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertEqual(checked, 12)

    def check(self, starling, folder, objects, spec, role):
        """`starling config check` with the files that the pod mounts, below a folder instead of /etc/starling."""
        at = tempfile.mkdtemp(dir=folder)
        node = "connection-manager" if role == "manager" else "session-router"
        mounts = {mount["name"]: mount["mountPath"] for mount in container(spec)["volumeMounts"]}
        for volume in spec["volumes"]:
            below = at + mounts[volume["name"]].removeprefix("/etc/starling")
            owner = os.path.basename(below) if "/tls/" in below else node
            contents = {"tls.crt": f"{folder}/{owner}.crt", "tls.key": f"{folder}/{owner}.key", "ca.crt": f"{folder}/authority.crt",
                        "headers": f"{folder}/headers"}
            for item in volume.get("secret", {}).get("items", []):
                os.makedirs(below, exist_ok=True)
                source = contents.get(item["path"])
                data = open(source, "rb").read() if source else os.urandom(32).hex().encode()[:32]
                if item["path"] == "tokens":
                    data = b"carol operate sha256:" + b"0" * 64 + b"\n"
                open(f"{below}/{item['path']}", "wb").write(data)
        [config] = [volume["configMap"]["name"] for volume in spec["volumes"] if volume["name"] == "config"]
        text = named(objects, "ConfigMap", config)["data"]["starling.toml"].replace("/etc/starling", at)
        text = text.replace("/var/lib/starling", f"{at}/data")
        open(f"{at}/starling.toml", "w").write(text)
        variables = {key: value for key, value in os.environ.items() if not key.startswith("STARLING")}
        return subprocess.run([starling, "config", "check", "--config", f"{at}/starling.toml"], capture_output=True, text=True,
                              env=variables, timeout=60)
