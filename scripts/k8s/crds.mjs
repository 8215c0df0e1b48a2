// Objects of cert-manager, KEDA and the Prometheus operator against their schemas: an array of them on standard input, faults on
// standard output, one a line. Values are checked; a field of an unknown name is not found by these.
import { existsSync, readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const packages = { "cert-manager.io": "cert-manager", "keda.sh": "keda", "monitoring.coreos.com": "prometheus-operator" };

for (const object of JSON.parse(readFileSync(0, "utf8"))) {
  const { apiVersion, kind, ...rest } = object;
  const at = `${process.env.CRDS}/node_modules/@kubernetes-models/${packages[apiVersion.split("/")[0]]}/${apiVersion}/${kind}`;
  const module = await import(pathToFileURL(existsSync(`${at}.mjs`) ? `${at}.mjs` : `${at}.js`));
  try {
    new module[kind](rest).validate();
  } catch (error) {
    console.log(`${kind} ${object.metadata.name}: ${error.message}`);
  }
}
