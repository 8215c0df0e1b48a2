#!/usr/bin/env python3
"""The part of values.schema.json that is the server's configuration, of what `starling config doc --schema` prints.

`schema.py write` reads that from standard input and writes the file; `schema.py check` says whether it is fresh.
"""

import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILE = ROOT / "deploy/helm/starling/values.schema.json"
# What the chart sets itself is no value, nor is a password; of these sections nothing is left, and there is a word on where to set it instead.
ELSEWHERE = {"cluster": "The chart's own.", "drain": "See the chart's own `drain`.", "tls": "See the chart's own `tls`."}
OWN = ["mode", "domains", "data-dir", "admin", "api", *(f"listen.{way}" for way in ("c2s", "direct-tls", "https", "http", "plain", "plain-http")),
       *(f"redis.{key}" for key in ("url", "cluster-nodes", "sentinels", "sentinel-master", "password-file", "sentinel-password-file", "tls")),
       *(f"scylla.{key}" for key in ("nodes", "keyspace", "datacenter", "replication-factor", "user", "password", "password-file", "tls")),
       "otlp.ca-file", "otlp.headers-file"]


def of_config(schema):
    """What of the program's schema holds for the chart's `config`."""
    for key in ("$schema", "title"):
        del schema[key]
    for key in OWN:
        *path, last = key.split(".")
        section = schema
        for step in path:
            section = section["properties"][step]
        del section["properties"][last]
    for section, where in ELSEWHERE.items():
        schema["properties"][section] = {"type": "object", "maxProperties": 0, "description": where}
    schema["properties"]["otlp"]["description"] = "Its files: see the chart's own `otlp`."
    return {"description": "Keys of starling.toml; no passwords: they are files from secrets. Made by `make docs`.", **schema}


def main():
    written = FILE.read_text()
    values = json.loads(written)
    values["properties"]["config"] = of_config(json.load(sys.stdin))
    made = json.dumps(values, indent=2, ensure_ascii=False) + "\n"
    match sys.argv[1:]:
        case ["write"]:
            FILE.write_text(made)
            print(f"wrote {FILE.relative_to(ROOT)}", file=sys.stderr)
        case ["check"]:
            sys.exit(0 if made == written else f"{FILE.relative_to(ROOT)} is out of date: run `make docs`")
        case _:
            sys.exit("usage: starling config doc --schema | schema.py write|check")


if __name__ == "__main__":
    main()
