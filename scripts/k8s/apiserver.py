"""The few answers of an API server that Helm needs to render a chart for it: kinds, Deployments and Secrets. Nothing else of one."""

import base64
import gzip
import http.server
import json
import threading


class ApiServer:
    """`deployments` are numbers of pods by name, `secrets` data by name, `kinds` pairs of version and kind that it knows, too."""

    def __init__(self, namespace, deployments=(), secrets=(), kinds=()):
        found = {f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}": deployment(name, namespace, count)
                 for name, count in dict(deployments).items() if count is not None}
        found |= {f"/api/v1/namespaces/{namespace}/secrets/{name}": secret(name, namespace, data)
                  for name, data in dict(secrets).items()}
        found |= discovery({*kinds, ("v1", "Secret"), ("apps/v1", "Deployment")})
        self.asked = asked = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                path = self.path.partition("?")[0]
                asked.append(path)
                body = found.get(path, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404})
                text = json.dumps(body).encode()
                self.send_response(200 if path in found else 404)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def deployment(name, namespace, count):
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": namespace}, "spec": {"replicas": count}}


def secret(name, namespace, data):
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace}, "data": data}


def revision(release, number, values, manifest):
    """A revision of a release as Helm keeps it, by the name of its secret."""
    kept = {"name": release, "version": number, "info": {"status": "superseded"}, "config": values, "manifest": manifest,
            "chart": {"metadata": {"name": "starling", "version": "0.1.0", "apiVersion": "v2"}}}
    text = base64.b64encode(gzip.compress(json.dumps(kept).encode()))
    return {f"sh.helm.release.v1.{release}.v{number}": {"release": base64.b64encode(text).decode()}}


def resource(kind):
    name = kind.lower()
    plural = name[:-1] + "ies" if name.endswith("y") else name + "s"
    return {"name": plural, "singularName": name, "namespaced": True, "kind": kind, "verbs": ["get", "list", "create"]}


def discovery(kinds):
    """What an API server says of itself."""
    groups = {version.rpartition("/")[0]: version for version, _ in kinds if "/" in version}
    found = {
        "/version": {"major": "1", "minor": "34", "gitVersion": "v1.34.0"},
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": [
            {"name": name, "versions": [{"groupVersion": version, "version": version.rpartition("/")[2]}]} for name, version in groups.items()]},
    }
    for version in {version for version, _ in kinds}:
        found[f"/apis/{version}" if "/" in version else f"/api/{version}"] = {
            "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version,
            "resources": [resource(kind) for one, kind in sorted(kinds) if one == version]}
    return found
