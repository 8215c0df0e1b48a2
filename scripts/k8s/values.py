"""What the chart's values may be: what is wrong is refused by its name before anything is installed, and nothing else is."""

import functools
import json
import os
import subprocess
import tempfile
import tomllib
import unittest

import kubernetes_validate
import yaml

import schema
from rendering import CHART, FOREIGN, VERSIONS, helm

CLUSTER = ["mode=cluster", "nodeTls.certManager.enabled=true"]


class Values(unittest.TestCase):
    def test_a_wrong_value_is_refused_by_its_name(self):
        for at, (wrong, word) in enumerate([
            ("manager.replicas=two", "replicas"),
            ("manger.replicas=2", "manger"),
            ("manager.autoscaling.by=vpa", "autoscaling/by"),
            ("mode=clustered", "mode"),
            ("domains={a@b}", "domains"),
            ("domains={-bad-}", "domains"),
            ("domains={A.example}", "domains"),
            ("redis.url=redis://user:secret@redis:6379/0", "redis/url"),
            ("config.scylla.password=secret", "scylla"),
            ("config.redis.url=redis://x", "redis"),
            ("config.scylla.keyspace=other", "keyspace"),
            ("config.sycl.a=1", "config"),
            ("config.im.archvie=true", "archvie"),
            ("config.im.archive=maybe", "config/im/archive"),
            ("config.im.resume-within=5", "config/im/resume-within"),
            ("config.im.resume-within=soon", "config/im/resume-within"),
            ("config.im.resume-within=1month", "config/im/resume-within"),
            ("config.redis.lease=100ms", "config/redis/lease"),
            ("config.redis.deadline=0s", "config/redis/deadline"),
            ("config.scylla.archive-kept=23h", "config/scylla/archive-kept"),
            ("config.im.contact.abuse={nobody}", "config/im/contact/abuse"),
            ("config.listen.trusted-proxies={10.0.0.0/99}", "config/listen/trusted-proxies/0"),
            ("config.log.level=loud", "config/log/level"),
            ("config.otlp.sample-accounts={a@localhost/phone}", "config/otlp/sample-accounts/0"),
            ("redis.sentinels={redis:99999}", "redis/sentinels/0"),
            ("redis.url=redis://redis:port/0", "redis/url"),
            ("scylla.nodes={scylla:99999}", "scylla/nodes/0"),
            ("image.tag=a b", "image/tag"),
            ("nameOverride=Foo_Bar", "nameOverride"),
            ("config.log.format=xml", "config/log/format"),
            ("config.limits.stanza-bytes=big", "config/limits/stanza-bytes"),
            ("config.limits.depth=-1", "config/limits/depth"),
            ("config.listen.c2s={0.0.0.0:1}", "config/listen"),
            ("config.listen.mechanisms={MD5}", "config/listen/mechanisms"),
            ("config.otlp.sample-rate=2", "config/otlp/sample-rate"),
            ("config.redis.log-max-stanzas=9", "config/redis/log-max-stanzas"),
            ("config.http.origins={chat.example.org}", "config/http/origins"),
            ("manager.resources.limits.memory=4Gigs", "manager/resources/limits/memory"),
            ("router.resources.limit.memory=4Gi", "router/resources"),
            ("embedded.persistence.size=10GB", "embedded/persistence/size"),
            ("manager.strategy.maxSurge=0", "manager/strategy/maxUnavailable"),
            ("router.strategy.maxSurge=0%", "router/strategy/maxUnavailable"),
            ("manager.podLabels.a=b c", "manager/podLabels/a"),
            ("manager.podLabels.b c=a", "manager/podLabels': additional properties 'b c'"),
            ("router.podAnnotations.b c=a", "b c"),
            ("embedded.nodeSelector.zone=a/b", "embedded/nodeSelector/zone"),
            ("service.labels.a=b c", "service/labels/a"),
            ("monitoring.rules.labels.a=b c", "monitoring/rules/labels/a"),
            ("api.hosts={a b}", "api/hosts/0"),
            ("api.hosts={https://chat.example}", "api/hosts/0"),
            ("manager.podLabels.app\\.kubernetes\\.io/component=x", "manager/podLabels/app/kubernetes/io~1component"),
            ("manager.topologySpreadConstraints[0].maxScew=1", "manager/topologySpreadConstraints/0"),
            ("manager.replicas=99999999999", "manager/replicas"),
            ("router.minReadySeconds=99999999999", "router/minReadySeconds"),
            ("router.pdb.maxUnavailable=200%", "router/pdb/maxUnavailable"),
            ("drain.maxRate=9999999999999", "drain/maxRate"),
            ("service.loadBalancerSourceRanges={300.1.1.1/8}", "service/loadBalancerSourceRanges/0"),
            ("service.annotations.a b=c", "a b"),
            ("scylla.keyspace=" + 60 * "a", "scylla/keyspace"),
            ("redis.passwordKey=a b", "redis/passwordKey"),
            ("manager.env[0].name=A,manager.env[0].value=b,manager.env[0].valueFrom.fieldRef.fieldPath=spec.nodeName", "manager/env/0"),
            ("config.redis.sentinel-password-file=x", "sentinel-password-file"),
            ("config.redis.tls.ca=x", "config/redis"),
            ("config=null", "config"),
            ("redis=null", "redis"),
            ("probes.startup=null", "startup"),
            ("networkPolicy.api[0].podSelector.matchLabel.app=proxy", "networkPolicy/api/0/podSelector"),
            ("networkPolicy.embeddedEgress[0].prots=1", "networkPolicy/embeddedEgress/0"),
            ("networkPolicy.clients[0].ipBlok.cidr=10.0.0.0/8", "networkPolicy/clients/0"),
            ("networkPolicy.stores[0].ipBlock.cidr=10.0.0.0", "networkPolicy/stores/0/ipBlock/cidr"),
            ("networkPolicy.managerEgress[0].port=443", "networkPolicy/managerEgress/0"),
            ("manager.priorityClassName=Very High", "manager/priorityClassName"),
            ("embedded.persistence.storageClass=Fast SSD", "embedded/persistence/storageClass"),
            ("embedded.persistence.accessModes={ReadWriteEver}", "embedded/persistence/accessModes/0"),
            ("manager.env[0].name=A=B", "manager/env/0/name"),
            ("manager.tolerations[0].effect=Never", "manager/tolerations/0/effect"),
            ("nodeTls.certManager.duration=90d", "nodeTls/certManager/duration"),
            ("monitoring.podMonitor.interval=often", "podMonitor/interval"),
            ("service.loadBalancerSourceRanges={10.0.0.0}", "service/loadBalancerSourceRanges"),
            ("config.tls.certificates=x", "tls"),
            ("service.ports.c2s=70000", "c2s"),
            ("image.digest=latest", "digest"),
            ("drain.windowSeconds=-1", "windowSeconds"),
            ("probes.liveness.periodSeconds=0", "periodSeconds"),
            ("networkPolicy.storePorts={}", "storePorts"),
            ("api.enabled=true,tls.existingSecret=tls", "api/existingSecret"),
            ("api.enabled=true,api.existingSecret=tokens", "tls/existingSecret"),
            ("api.enabled=true,api.existingSecret=tokens,tls.existingSecret=tls,api.service.port=0", "api/service/port"),
            ("config.api.tls=false", "config"),
            ("config.otlp.headers-file=x", "headers-file"),
            ("otlp.caKey=ca.crt", "otlp/existingSecret"),
            ("monitoring.podMonitor.enabled=maybe", "podMonitor/enabled"),
            ("monitoring.podMonitor.enabled=true,monitoring.serviceMonitor.enabled=true", "serviceMonitor/enabled"),
        ]):
            for command in (["template", "x"], ["lint"])[: 2 if at < 3 else 1]:  # it is one schema for both
                with self.subTest(f"{command[0]} {wrong}"):
                    code, out, err = helm(*command, CHART, "--set", wrong)
                    self.assertNotEqual(code, 0)
                    self.assertIn(word, (out + err).replace(".", "/"))

    def test_no_text_of_the_schema_is_without_a_form(self):
        values = json.loads(schema.FILE.read_text())
        # Of what they hold others say more: the program, Prometheus, Kubernetes.
        free = {"config", "description", "value", "query", "user"}
        formless = []

        def look(at, path):
            if isinstance(at, dict):
                if at.get("type") == "string" and not at.keys() & {"pattern", "enum"} and not free & set(path):
                    formless.append("/".join(path))
                for key, inner in at.items():
                    look(inner, [*path, key])

        look(values, [])
        self.assertEqual(formless, ["definitions/annotations/patternProperties/" + values["definitions"]["key"]["pattern"]])

    def test_the_schema_takes_what_the_program_does(self):
        dumped = subprocess.run([os.environ["STARLING"], "config", "dump"], capture_output=True, check=True, text=True, timeout=60,
                                env={key: value for key, value in os.environ.items() if not key.startswith("STARLING")})
        config = tomllib.loads(dumped.stdout)
        for key in schema.OWN + list(schema.ELSEWHERE):
            *path, last = key.split(".")
            functools.reduce(dict.__getitem__, path, config).pop(last)
        config["log"]["level"] = "info,starling_im=debug"
        config["im"]["resume-within"] = "1h 30m"
        config["otlp"] |= {"endpoint": "https://collector:4317", "sample-accounts": ["a@example.org"]}
        config["im"]["contact"]["abuse"] = ["mailto:abuse@example.org", "xmpp:admin@example.org"]
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            yaml.safe_dump({"config": config, "domains": ["münchen.example", "[2001:db8::1]", "localhost"]}, file)
            file.flush()
            code, _, err = helm("template", "x", CHART, "-f", file.name)
            self.assertEqual(code, 0, err)

    def test_the_schema_takes_what_kubernetes_does(self):
        peers = [{"ipBlock": {"cidr": "2001:db8::/32", "except": ["2001:db8:1::/48"]}},
                 {"namespaceSelector": {}, "podSelector": {"matchExpressions": [{"key": "a.example/b", "operator": "In", "values": ["c", ""]}]}}]
        part = {"podLabels": {"a.example/part-of": "chat_1.0", "empty": ""}, "podAnnotations": {"a.example/b_c.d": "any text: {}"},
                "nodeSelector": {"topology.kubernetes.io/zone": "eu-1a"}, "priorityClassName": "system-cluster-critical",
                "tolerations": [{"operator": "Exists"}, {"key": "a.example/b", "operator": "Equal", "value": "", "effect": "NoExecute"}],
                "env": [{"name": "SSL_CERT_FILE", "value": "/a"}, {"name": "a.b-c", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}]}
        values = {"manager": {**part, "strategy": {"maxSurge": "0%", "maxUnavailable": "25%"}},
                  "router": {**part, "strategy": {"maxSurge": 2, "maxUnavailable": 0}}, "embedded": {**part, "persistence": {"storageClass": "fast.ssd-2"}},
                  "api": {"hosts": ["Chat.example", "[2001:db8::1]", "192.0.2.1", "xn--mnchen-3ya.example"]},
                  "networkPolicy": {"clients": peers, "stores": peers,
                                    "routerEgress": [{}, {"to": peers, "ports": [{"port": "https"}, {"protocol": "UDP", "port": 1, "endPort": 9}]}]},
                  "service": {"loadBalancerClass": "service.k8s.aws/nlb", "annotations": {"a.example/b": "1,2"}}}
        for mode in ("embedded", "cluster"):
            with self.subTest(mode), tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
                yaml.safe_dump({**values, "mode": mode, "nodeTls": {"certManager": {"enabled": True}}}, file)
                file.flush()
                code, out, err = helm("template", "x", CHART, "-f", file.name)
                self.assertEqual(code, 0, err)
                for one in yaml.safe_load_all(out):
                    if one and one["apiVersion"].split("/")[0] not in FOREIGN:
                        kubernetes_validate.validate(one, VERSIONS[-1], strict=True)

    def test_what_no_schema_can_say_is_refused_with_what_to_set(self):
        for wrong, word in [
            (["mode=cluster"], "nodeTls.certManager.enabled"),
            (["tls.certManager.enabled=true"], "issuerRef"),
            (["service.ports.c2s=0", "service.ports.directTls=0", "service.ports.https=0"], "service.ports"),
            (["mode=cluster", "nodeTls.certManager.enabled=true", "devStores.enabled=true"], "migration.by"),
            (["mode=cluster", "nodeTls.certManager.enabled=true", "manager.autoscaling.by=hpa", "manager.autoscaling.minReplicas=11"],
             "manager.autoscaling: minReplicas"),
            (["service.ports.directTls=5222"], "service.ports: c2s and directTls"),
            (["service.nodePorts.c2s=30000", "service.nodePorts.https=30000"], "service.nodePorts"),
            (["embedded.preStopSeconds=100"], "embedded.terminationGracePeriodSeconds"),
            ([*CLUSTER, "router.preStopSeconds=100"], "router.terminationGracePeriodSeconds"),
            ([*CLUSTER, "manager.terminationGracePeriodSeconds=10"], "manager.terminationGracePeriodSeconds"),
            (["embedded.resources.requests.memory=8Gi"], "embedded.resources: requests.memory 8Gi"),
            ([*CLUSTER, "router.resources.requests.memory=2049Mi"], "router.resources: requests.memory 2049Mi"),
            (["manager.resources.limits.cpu=999m", *CLUSTER], "manager.resources: requests.cpu 1"),
            (["tls.existingSecrets.other\\.example=tls"], "tls.existingSecrets: other.example"),
            (["tls.certManager.enabled=true", "tls.certManager.issuerRef.name=x", "domains={bücher.example}"], "bücher.example"),
            ([*CLUSTER, "nodeTls.certManager.issuerRef.kind=ClusterIssuer"], "nodeTls.certManager.issuerRef.name"),
            ([*CLUSTER, "nodeTls.certManager.renewBefore=2160h"], "nodeTls.certManager.renewBefore"),
            (["redis.tls.existingSecret=tls"], "redis.url"),
            (["redis.sentinels={a:1}", "redis.clusterNodes={b:1}"], "redis.sentinels"),
            (["redis.sentinelPasswordKey=a"], "redis.sentinelPasswordKey"),
            (["redis.tls.clientCertificate=true"], "redis.tls.existingSecret"),
            (["scylla.tls.clientCertificate=true"], "scylla.tls.existingSecret"),
            (["scylla.user=starling"], "scylla.existingSecret"),
            (["domains={a.example,b.example}", "api.enabled=true", "api.existingSecret=tokens", "tls.existingSecrets.a\\.example=tls"],
             "b.example"),
        ]:
            with self.subTest(wrong):
                code, _, err = helm("template", "x", CHART, *[word for one in wrong for word in ("--set", one)])
                self.assertNotEqual(code, 0)
                self.assertIn(word, err)

    def test_a_name_is_text_whatever_it_looks_like(self):
        secrets = ["redis.existingSecret", "scylla.existingSecret", "api.existingSecret", "tls.existingSecret", "test.existingSecret", "image.pullSecrets[0]",
                   "manager.priorityClassName", "router.priorityClassName", "embedded.priorityClassName", "embedded.persistence.storageClass", "serviceAccount.name"]
        for word in ("123", "true", "1e3", "null", "y"):
            for mode in ("embedded", "cluster"):
                with self.subTest(f"{word} {mode}"):
                    given = [flag for key in secrets for flag in ("--set-string", f"{key}={word}")]
                    if word.isalpha():
                        given += ["--set-string", f"fullnameOverride={word}", "--set-string", f"nameOverride={word}"]
                    code, out, err = helm("template", word, CHART, *given, "--set", f"api.enabled=true,nodeTls.certManager.enabled=true,mode={mode}")
                    self.assertEqual(code, 0, err)
                    for one in yaml.safe_load_all(out):
                        if one and one["apiVersion"].split("/")[0] not in FOREIGN:
                            kubernetes_validate.validate(one, VERSIONS[-1], strict=True)

    def test_a_domain_is_a_name_or_an_address(self):
        domains = "domains={chat.example,[2001:db8::1],192.0.2.1,bücher.example}"
        code, out, err = helm("template", "x", CHART, "--set", domains, "--set", "tls.certManager.enabled=true,tls.certManager.issuerRef.name=x",
                              "--set", "tls.certManager.dnsNames={xn--bcher-kva.example}")
        self.assertEqual(code, 0, err)
        objects = [one for one in yaml.safe_load_all(out) if one]
        [certificate] = [one["spec"] for one in objects if one["kind"] == "Certificate"]
        self.assertEqual(certificate["dnsNames"], ["chat.example", "xn--bcher-kva.example"])
        self.assertEqual(certificate["ipAddresses"], ["2001:db8::1", "192.0.2.1"])
        [pod] = [one["spec"]["template"]["spec"] for one in objects if one["kind"] == "StatefulSet"]
        mounted = {mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
        toml = next(one["data"]["starling.toml"] for one in objects if one["kind"] == "ConfigMap" and "starling.toml" in one["data"])
        for domain, folder in (("[2001:db8::1]", "2001-db8--1"), ("chat.example", "chat.example")):
            self.assertIn(f"/etc/starling/tls/{folder}", mounted)
            certificate = tomllib.loads(toml)["tls"]["certificates"][domain]["certificate"]
            self.assertEqual(certificate, f"/etc/starling/tls/{folder}/tls.crt")
        self.assertFalse([path for path in mounted if ":" in path])

    def test_policies_follow_the_addresses(self):
        given = ["redis.url=rediss://redis:6380/0", "scylla.nodes={scylla:19042}", "redis.sentinels={s:26380}", "config.otlp.endpoint=https://c:4317/v1/x"]
        code, out, err = helm("template", "x", CHART, *[flag for one in CLUSTER + given for flag in ("--set", one)])
        self.assertEqual(code, 0, err)
        egress = {one["metadata"]["name"]: {port["port"] for rule in one["spec"]["egress"] for port in rule.get("ports", [])}
                  for one in yaml.safe_load_all(out) if one and one["kind"] == "NetworkPolicy"}
        self.assertLessEqual({6380, 19042, 26380, 4317}, egress["x-starling-router"])
        self.assertLessEqual({6380, 19042}, egress["x-starling-migration"])
        self.assertNotIn(443, egress["x-starling-manager"])
        for endpoint, port in (("https://c", 443), ("http://c/v1", 80), ("http://c:4318/", 4318), ("http://[::1]:4318/v1/traces", 4318)):
            _, out, _ = helm("template", "x", CHART, "--set", f"config.otlp.endpoint={endpoint}")
            [policy] = [one for one in yaml.safe_load_all(out) if one and one["kind"] == "NetworkPolicy"]
            self.assertIn([{"port": port, "protocol": "TCP"}], [rule["ports"] for rule in policy["spec"]["egress"]], endpoint)

    def test_sentinels_have_a_password_of_their_own(self):
        given = ["redis.existingSecret=redis", "redis.sentinels={s:26379}", "redis.sentinelPasswordKey=other"]
        code, out, err = helm("template", "x", CHART, *[flag for one in CLUSTER + given for flag in ("--set", one)])
        self.assertEqual(code, 0, err)
        self.assertIn('sentinel-password-file = "/etc/starling/redis/sentinel-password"', out)
        [router] = [one["spec"]["template"]["spec"] for one in yaml.safe_load_all(out) if one and one["kind"] == "Deployment" and "router" in one["metadata"]["name"]]
        [volume] = [one["secret"] for one in router["volumes"] if one["name"] == "redis"]
        self.assertEqual(volume["items"], [{"key": "password", "path": "password"}, {"key": "other", "path": "sentinel-password"}])
