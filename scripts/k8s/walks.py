"""Which pages walk.py runs, and what of them is not run as it stands, with the reason."""

import dataclasses
import pathlib
import re
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
CTL = "/starling ctl --config /etc/starling/config/starling.toml"
# A database and a keyspace that nobody else uses.
STORES = f"""redis: {{url: "redis://redis:6379/1"}}
scylla: {{nodes: ["cassandra:9042"], keyspace: walk_{int(time.time())}, replicationFactor: 1}}
"""
OUTSIDE = ". scripts/k8s/e2e-lib.sh && redis-cli -h $address -n 1 FLUSHDB && outside chat"


@dataclasses.dataclass
class Page:
    path: pathlib.Path
    # A block of commands, and what to take away from its lines.
    block: str
    prompt: str
    # Lines that are not run, and why.
    left_out: dict
    # What is added to a line, and why.
    added: dict
    # What is done before a line: what a reader has, or has waited for.
    first: dict
    # What a reader puts in the place of a word.
    named: dict
    # Lines that do not end by themselves, and what must be so before they are ended; None: they are ended with the walk.
    endless: dict
    # What must have come of a line, beside its end without an error; `said` has what it said.
    then: dict
    more: dict
    yaml: str = r"^```yaml\n(.*?)^```"

    def lines(self):
        found = []
        for block in re.findall(self.block, self.path.read_text(), re.MULTILINE | re.DOTALL):
            for line in block.splitlines():
                line = re.sub(r"\s+# .*", "", line.removeprefix(self.prompt))
                open_ = found and (found[-1].endswith("\\") or found[-1].startswith("for ") and not found[-1].endswith("done"))
                if open_:
                    found[-1] += "\n" + line
                else:
                    found.append(line)
        return found

    def files(self):
        """Those that it tells the reader to write, by their names, and ours beside."""
        blocks = re.findall(self.yaml, self.path.read_text(), re.MULTILINE | re.DOTALL)
        return {re.match(r"# (\S+\.yaml)\n", block)[1]: block for block in blocks} | self.more

    def tables(self):
        return self.left_out, self.added, self.first, self.named, self.endless, self.then


INSTALL = "helm install starling deploy/helm/starling -n chat -f chat.yaml"
UPGRADE = "helm upgrade starling deploy/helm/starling -n chat -f chat.yaml -f scaled.yaml"
FORWARD = "kubectl -n chat port-forward service/starling 5222:5222"
LOAD = "target/release/starling-loadtest run loadtest/scenarios/hold.toml --target 127.0.0.1:5222 --transport starttls --count 50 --seconds 300"

TUTORIAL = Page(
    path=ROOT / "docs/tutorials/kubernetes.md",
    block=r"^```console\n(.*?)^```",
    prompt="$ ",
    left_out={
        "make image": "no engine is here; the layout of `make image-oci` is imported by the name that this gives",
        "cargo build --release -p starling-server -p starling-loadtest": "both are there: the image's program, and the load generator",
        "kind load docker-image starling:0.1.0": "these nodes are not kind's; node.sh imports the image",
        "kubectl -n chat rollout status statefulset/starling-dev-scylla": "no registry with ScyllaDB's image is here; the stores run beside the nodes",
        "helm repo add prometheus-community https://prometheus-community.github.io/helm-charts": "no registry of charts is here",
        "helm install prometheus prometheus-community/kube-prometheus-stack -n monitoring --create-namespace": "no registry of charts is here",
        "helm install adapter prometheus-community/prometheus-adapter -n monitoring -f adapter.yaml":
            "no registry of charts is here; node/metrics answers by the custom-metrics API",
    },
    added={line: ("-f stores.yaml", "instead of the images of small stores") for line in (INSTALL, UPGRADE)},
    first={INSTALL: OUTSIDE},
    named={
        "kubectl drain NODE --ignore-daemonsets --delete-emptydir-data": {"NODE": "one"},
        "kubectl uncordon NODE": {"NODE": "one"},
    },
    endless={
        FORWARD: None,
        LOAD: "until [ \"$(kubectl -n chat get hpa/starling-manager -o 'jsonpath={.status.desiredReplicas}')\" = 4 ]; do sleep 1; done",
        "kubectl -n chat get hpa/starling-manager --watch": "until grep -q starling-manager said; do sleep 1; done",
        "kubectl -n chat get pods --watch": "kubectl -n chat rollout status deploy/starling-manager && grep -q starling-manager said",
    },
    then={
        "kubectl -n chat get pods": "grep -c 'starling-.* 1/1 .*Running' said | grep -qx 4",
        FORWARD: "HOST=127.0.0.1 DOMAIN=localhost MESSAGES=3 WAYS=starttls:5222 ACCOUNT=alice@localhost PASSWORD=secret-of-alice "
                 "python3 deploy/helm/starling/files/send.py",
        "kubectl get --raw /apis/custom.metrics.k8s.io/v1beta2/namespaces/chat/pods/*/xmpp_cm_connections": "grep -q describedObject said",
        "kubectl -n chat exec deploy/starling-router -- /starling ctl --config /etc/starling/config/starling.toml node list":
            "grep -c 'starling-router-.*state=serving' said | grep -qx 2",
        "kubectl drain NODE --ignore-daemonsets --delete-emptydir-data": "[ -z \"$(kubectl -n chat get pods --field-selector spec.nodeName=one -o name)\" ]",
        "kubectl delete namespace chat": "! kubectl get namespace chat",
    },
    more={"stores.yaml": "devStores: {enabled: false}\n" + STORES},
)

GUIDE_PATH = ROOT / "docs/how-to/kubernetes.md"
ONE = "helm install starling deploy/helm/starling -n chat --set 'domains={example.org}'"
CONSOLE = "kubectl -n chat port-forward service/starling-api 5282"
ASK = "starling ctl --server https://localhost:5282 --token-file ~/.starling-token node list"
BACK = "helm upgrade starling deploy/helm/starling -n chat --reset-values -f former.yaml"
TOKEN = "starling token new carol --role operate"
BUILT = "e2e.sh has built it, or has done without"
VOLUME = """kubectl apply -f - <<YAML
apiVersion: v1
kind: PersistentVolume
metadata: {name: guide}
spec: {capacity: {storage: 10Gi}, accessModes: [ReadWriteOnce], hostPath: {path: "$PWD/volume"}}
YAML
mkdir -p volume && chmod 777 volume"""
DRAIN = f"kubectl -n chat exec POD -- {CTL} drain start"
RELEASE = "deploy/helm/starling -n chat -f scripts/k8s/e2e.yaml -f stores.yaml"
CLUSTER = (f". scripts/k8s/e2e-lib.sh && client_certificate tls && secret localhost-tls tls/tls.crt tls/tls.key && helm uninstall starling -n chat --wait && "
           f"{OUTSIDE.partition(' && ')[2]} && helm install starling {RELEASE} --wait --timeout 180s")

GUIDE = Page(
    path=GUIDE_PATH,
    block=r"^\n((?:    (?:kubectl|helm|make|starling|for) [^\n]*\n)(?:    [^\n]*\n)*)",
    prompt="    ",
    left_out={
        "make image": BUILT,
        "make image-oci": BUILT,
        "helm install starling deploy/helm/starling -n chat -f values.yaml":
            "cert-manager, the Prometheus operator, and stores by TLS are not here; e2e.yaml has the values for what is",
        "helm install starling deploy/helm/starling -n try -f deploy/helm/starling/ci/dev.yaml":
            "cert-manager is not here, nor a registry with the images of Redis and ScyllaDB",
    },
    added={ASK: ("--ca-file tls/tls.crt", "the certificate is self-signed, for localhost")},
    first={ONE: VOLUME, TOKEN: CLUSTER, CONSOLE: f"helm upgrade starling {RELEASE} -f api.yaml --wait --timeout 180s"},
    named={DRAIN: {"POD": "$(kubectl -n chat get pods -l app.kubernetes.io/component=manager -o name | head -1)"}},
    endless={CONSOLE: None},
    then={
        ONE: "kubectl -n chat rollout status statefulset/starling-embedded",
        TOKEN: "grep -Eo '^carol operate .*' said >LINES && grep -m1 -Eo '[A-Za-z0-9_-]{30,}' said >.starling-token && [ -s LINES ] && chmod 600 .starling-token",
        "kubectl -n chat get deploy/starling-manager -o 'jsonpath={.spec.replicas}'": "grep -qx 2 said",
        BACK: "kubectl -n chat rollout status deploy/starling-router && ! kubectl -n chat get service/starling-api",
        # Until the Service has noticed, whoever comes may be refused.
        DRAIN: "until kubectl -n chat get pods -l app.kubernetes.io/component=manager | grep -q ' 0/1 '; do sleep 1; done; sleep 2",
        ASK: "grep -q 'starling-router-.*state=serving' said",
    },
    more={"stores.yaml": STORES, "api.yaml": re.search(r"^    (api: \{enabled: true[^\n]*\n)", GUIDE_PATH.read_text(), re.MULTILINE)[1]},
    yaml=r"(?!)",
)

WALKS = {"tutorial": TUTORIAL, "guide": GUIDE}
