#!/usr/bin/env python3
"""Whether every expression of the dashboards, and every rule, can be evaluated on a Prometheus that has scraped a live cluster:

    watching.py http://127.0.0.1:9090

looks at all the time since that Prometheus began. Expressions are evaluated as Grafana does it, for all jobs. Each must have had a value, but for those about what
went wrong, or was never asked for: they are printed. The alerts that have fired are printed, too.
"""

import json
import pathlib
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import dashboards

STEP = 15
# Counted from the first time on: where nothing of it happens, there is no series.
ONLY_IF_IT_HAPPENS = {
    "rpc_client_call_duration_seconds_count", "starling_admin_commands_total", "starling_cql_corrupt_rows_total", "starling_cql_failures_total", "starling_link_lapsed_total",
    "starling_link_lost_total", "starling_link_refused_total", "starling_link_resent_total", "starling_link_undelivered_total",
    "starling_redis_conflicts_total", "starling_redis_failures_total", "starling_spans_lost_total", "starling_spans_sent_total", "starling_store_failures_total", "xmpp_cm_dead_total",
    "xmpp_cm_registered_again_total", "xmpp_cm_rejects_total", "xmpp_outbound_overflows_total",
}


def ask(base, path, **fields):
    """The data of an answer; an answer that is none is an error with Prometheus' words."""
    url = f"{base}/api/v1/{path}?{urllib.parse.urlencode(fields)}"
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return json.load(answer)["data"]
    except urllib.error.HTTPError as refused:
        raise SystemExit(f"{fields}: {refused.read().decode()}") from refused


def over(base, expression, begin, end):
    """How many series it has in that time."""
    return len(ask(base, "query_range", query=expression, start=begin, end=end, step=STEP)["result"])


def main():
    base, end = sys.argv[1], time.time()
    begin = float(ask(base, "query", query='min_over_time(process_start_time_seconds{job="itself"}[1d])')["result"][0]["value"][1])
    count, lacking = 0, []
    for file, text in dashboards.texts().items():
        for panel in json.loads(text)["panels"]:
            for target in panel["targets"]:
                expression = target["expr"].replace("$__rate_interval", "1m").replace("$job", ".+")
                count += 1
                if over(base, expression, begin, end):
                    continue
                metrics = set(re.findall(r"\b(?:xmpp|starling|rpc|tokio|process|tls)_\w+", expression))
                about = f"{file.removesuffix('.json')}: {panel['title']}: {', '.join(sorted(metrics))}"
                if metrics <= ONLY_IF_IT_HAPPENS:
                    print("nothing of it happened:", about)
                else:
                    lacking.append(about)
    rules = [rule for group in ask(base, "rules")["groups"] for rule in group["rules"]]
    ill = [f"{rule['name']}: {rule.get('lastError')}" for rule in rules if rule["health"] != "ok"]
    fired = ask(base, "query_range", query='count by (alertname) (ALERTS{alertstate="firing"})', start=begin, end=end, step=STEP)["result"]
    print("alerts that fired:", ", ".join(sorted(one["metric"]["alertname"] for one in fired)) or "none")
    print(f"{count} expressions of {len(dashboards.BOARDS)} dashboards and {len(rules)} rules were evaluated")
    for one in lacking:
        print("no value:", one)
    for one in ill:
        print("not evaluated:", one)
    sys.exit(1 if lacking or ill or not rules else 0)


if __name__ == "__main__":
    main()
