"""Who reads metrics, and who administers: the two ports of a pod that are not for clients."""

import unittest

from chart import config_of
from rendering import CHART, container, named, of_kind, part, rendered, selects, serving


class Monitors(unittest.TestCase):
    def test_every_pod_is_scraped_once_by_either_monitor(self):
        for values, kind in [("autoscaled", "PodMonitor"), ("cluster", "ServiceMonitor")]:
            objects = rendered(CHART / f"ci/{values}.yaml")
            [monitor] = of_kind(objects, "PodMonitor", "ServiceMonitor")
            self.assertEqual(monitor["kind"], kind)
            wanted, found = monitor["spec"]["selector"], []
            for _, meta, spec in serving(objects):
                services = [one for one in of_kind(objects, "Service") if selects(one["spec"]["selector"], meta["labels"])]
                labels = [one["metadata"]["labels"] for one in services] if kind == "ServiceMonitor" else [meta["labels"]]
                ports = [{port["name"] for port in one["spec"]["ports"]} for one in services] if kind == "ServiceMonitor" else [
                    {port["name"] for port in container(spec)["ports"]}]
                endpoints = monitor["spec"].get("endpoints") or monitor["spec"]["podMetricsEndpoints"]
                found.append(sum(selects(wanted["matchLabels"], one) and endpoints[0]["port"] in names
                                 for one, names in zip(labels, ports)))
            self.assertEqual(found, [1, 1], values)

    def test_what_is_auto_goes_by_what_the_cluster_knows(self):
        auto = ["--set", "monitoring.serviceMonitor.enabled=auto,monitoring.rules.enabled=auto"]
        without = of_kind(rendered(CHART / "values.yaml", *auto), "ServiceMonitor", "PrometheusRule")
        self.assertEqual(without, [])
        known = [word for kind in ("ServiceMonitor", "PrometheusRule") for word in ("--api-versions", f"monitoring.coreos.com/v1/{kind}")]
        self.assertEqual(len(of_kind(rendered(CHART / "values.yaml", *auto, *known), "ServiceMonitor", "PrometheusRule")), 2)


class Receiver(unittest.TestCase):
    """OpenTelemetry's."""

    def test_it_is_reached_with_the_files_of_a_secret_by_every_part(self):
        objects = rendered(CHART / "ci/cluster.yaml")
        for _, meta, spec in serving(objects):
            config = config_of(objects, spec)["otlp"]
            self.assertEqual((config["endpoint"], config["sample-rate"]), ("https://collector.monitoring.svc:4317", 0.01))
            mounts = {mount["mountPath"]: mount["name"] for mount in container(spec)["volumeMounts"]}
            self.assertEqual(mounts["/etc/starling/otlp"], "otlp")
            [secret] = [volume["secret"] for volume in spec["volumes"] if volume["name"] == "otlp"]
            self.assertEqual({"/etc/starling/otlp/" + item["path"] for item in secret["items"]}, {config["ca-file"], config["headers-file"]})
            [rule] = [rule for rule in named(objects, "NetworkPolicy", f"x-starling-{part(meta['labels'])}")["spec"]["egress"]
                      if rule["ports"] == [{"port": 4317, "protocol": "TCP"}]]
            self.assertEqual(rule["to"], [{"podSelector": {"matchLabels": {"app": "collector"}}}])

    def test_its_port_is_the_one_of_its_address(self):
        for endpoint, port in [("http://a", 80), ("https://a", 443), ("https://a:4317/", 4317), ("http://[::1]:4318", 4318)]:
            [policy] = of_kind(rendered(CHART / "values.yaml", "--set", f"config.otlp.endpoint={endpoint}"), "NetworkPolicy")
            self.assertIn([{"port": port, "protocol": "TCP"}], [rule["ports"] for rule in policy["spec"]["egress"]], endpoint)


class Administration(unittest.TestCase):
    """Port 5282: only with tokens and TLS, only where it is wanted, only for those who are named."""

    def test_it_is_nowhere_unless_it_is_wanted(self):
        for name in ("values", "autoscaled", "keda", "dev"):
            text = str(rendered(CHART / "values.yaml" if name == "values" else CHART / f"ci/{name}.yaml"))
            self.assertNotIn("5282", text, name)
            self.assertNotIn("'api'", text, name)

    def test_whoever_has_the_stores_serves_it_with_tls_and_tokens(self):
        for values, wanted in [("cluster", "router"), ("embedded", "embedded")]:
            objects = rendered(CHART / f"ci/{values}.yaml")
            for _, meta, spec in serving(objects):
                with self.subTest(values):
                    is_wanted = part(meta["labels"]) == wanted
                    self.assertEqual("api" in {port["name"] for port in container(spec)["ports"]}, is_wanted)
                    config = config_of(objects, spec)
                    self.assertEqual("api" in config, is_wanted)
                    if is_wanted:
                        self.assertEqual((config["api"]["listen"], config["api"]["tls"]), ("[::]:5282", True))
                        self.assertNotIn("tokens", config["api"])
                        self.assertIn("x-starling-api.chat.svc", config["api"]["hosts"])
                        self.assertIn("example.org", config["tls"]["certificates"])
                        [secret] = [volume["secret"] for volume in spec["volumes"] if volume["name"] == "api"]
                        self.assertEqual([item["path"] for item in secret["items"]], ["tokens"])

    def test_its_service_is_its_own_and_for_nobody_by_default(self):
        objects = rendered(CHART / "ci/cluster.yaml")
        service = named(objects, "Service", "x-starling-api")["spec"]
        self.assertEqual(service["ports"], [{"name": "api", "port": 443, "targetPort": "api", "protocol": "TCP"}])
        self.assertEqual((service["type"], service["loadBalancerSourceRanges"]), ("LoadBalancer", ["192.0.2.0/24"]))
        for one in of_kind(objects, "Service"):
            if one["metadata"]["name"] != "x-starling-api":
                self.assertNotIn("api", {port["name"] for port in one["spec"]["ports"]})
        [rule] = [rule for rule in named(objects, "NetworkPolicy", "x-starling-router")["spec"]["ingress"]
                  if rule["ports"] == [{"port": "api", "protocol": "TCP"}]]
        self.assertEqual(rule["from"], [{"ipBlock": {"cidr": "192.0.2.0/24"}}])
        self.assertEqual(named(rendered(CHART / "ci/embedded.yaml"), "Service", "x-starling-api")["spec"]["type"], "ClusterIP")
        self.assertNotIn("'port': 'api'", str(of_kind(rendered(CHART / "ci/embedded.yaml"), "NetworkPolicy")))
