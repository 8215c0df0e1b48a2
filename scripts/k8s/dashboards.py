"""Writes the Grafana dashboards of deploy/helm/starling/files/dashboards: `python3 scripts/k8s/dashboards.py`. A test compares them."""

import json
import pathlib

AT = pathlib.Path(__file__).resolve().parents[2] / "deploy/helm/starling/files/dashboards"
BY = "{{component}} {{pod}} {{instance}}"


def p(quantile, metric, labels="", by=""):
    inner = f'{metric}_bucket{{job=~"$job"{labels}}}'
    return f"histogram_quantile({quantile}, sum by (le{by}) (rate({inner}[$__rate_interval])))"


def rate(metric, labels="", by=""):
    return f'sum by ({by}) (rate({metric}{{job=~"$job"{labels}}}[$__rate_interval]))'


def gauge(metric, labels="", by="", how="sum"):
    return f'{how} by ({by}) ({metric}{{job=~"$job"{labels}}})'


def over(top, bottom):
    return f"{top} / {bottom}"


def quantiles(metric, labels="", by="", legend=""):
    return [(p(q, metric, labels, by), f"p{int(q * 1000) / 10:g} {legend}".strip()) for q in (0.5, 0.99, 0.999)]


POD = "component, pod, instance"
CONNECTIONS = ("Connections", "short", [(gauge("xmpp_cm_connections", by=POD), BY)])
CPU = ("CPU", "short", [(rate("process_cpu_seconds_total", by=POD), BY)])
MEMORY = ("Memory", "bytes", [(gauge("process_resident_memory_bytes", by=POD), BY)])
THREADS = ("Threads that are busy", "percentunit",
           [(over(rate("tokio_busy_seconds_total", by=POD), gauge("tokio_workers", by=POD)), BY)])
TASKS = ("Tasks", "short", [(gauge("tokio_alive_tasks", by=POD), BY)])
QUEUE = ("Tasks that wait for a thread", "short", [(gauge("tokio_global_queue_depth", by=POD), BY)])
DELIVERY = ("From commit to the receiver's node", "s", quantiles("xmpp_message_delivery_duration_seconds", ',path="live"'))
ACK = ("From reading to durable", "s", quantiles("xmpp_ack_latency_seconds"))
RESUMES = ("Resumed sessions a second", "ops", [(rate("xmpp_sm_resume_total", by="result"), "{{result}}")])
OUTCOME = ("Messages a second", "ops", [(rate("xmpp_message_outcome_total", by="outcome"), "{{outcome}}")])
SESSIONS = ("Sessions", "short", [(gauge("xmpp_sessions", by="state", how="max"), "{{state}}")])
LINKS = ("Links", "short", [(gauge("starling_links", by=POD), BY)])
ACCEPTS = ("New connections a second", "ops", [(rate("xmpp_cm_accepts_total", by=POD), BY)])

BOARDS = {
    "overview": ("Overview", [
        ("Late deliveries (1% may be)", "percentunit", [('starling:delivery_late:ratio_rate1h{job=~"$job"}', "1 h"),
                                                        ('starling:delivery_late:ratio_rate5m{job=~"$job"}', "5 min")]),
        ("Late acknowledgements (1% may be)", "percentunit", [('starling:ack_late:ratio_rate1h{job=~"$job"}', "1 h"),
                                                              ('starling:ack_late:ratio_rate5m{job=~"$job"}', "5 min")]),
        CONNECTIONS, SESSIONS, OUTCOME, DELIVERY, ACK,
        ("Logins a second", "ops", [(rate("xmpp_auth_attempts_total", by="result"), "{{result}}")]),
        RESUMES, CPU, MEMORY,
        ("Versions", "short", [('count by (version, component) (starling_build_info{job=~"$job"})', "{{component}} {{version}}")]),
        ("Certificates: days left", "d", [('(min by (domain) (tls_cert_expiry_seconds{job=~"$job"}) - time()) / 86400', "{{domain}}")]),
        ("Commands of administrators a second", "ops", [(rate("starling_admin_commands_total", by="outcome"), "{{outcome}}"),
            (rate("starling_admin_connections_ended_total", by="listener"), "made way at {{listener}}")]),
        ("Spans sent and lost a second", "ops", [(rate("starling_spans_sent_total"), "sent"),
                                                 (rate("starling_spans_lost_total", by="reason"), "lost: {{reason}}")]),
        ("Log lines lost a second", "ops", [(rate("starling_log_lines_lost_total", by=POD), BY)]),
    ]),
    "managers": ("Connection managers", [
        ("Connections, and how many there may be", "short", [(gauge("xmpp_cm_connections", by=POD), BY),
                                                             (gauge("xmpp_cm_connections_max", by=POD), f"room of {BY}")]),
        ("Streams", "short", [(gauge("xmpp_cm_streams", by="state"), "{{state}}")]),
        ACCEPTS,
        ("Refused connections a second", "ops", [(rate("xmpp_cm_rejects_total", by="reason"), "{{reason}}")]),
        ("Streams ended with an error, a second", "ops", [(rate("xmpp_stream_errors_total", by="condition"), "{{condition}}")]),
        ("Stanzas read a second", "ops", [(rate("xmpp_stanza_received_total", by="kind"), "{{kind}}")]),
        ("Stanzas written a second", "ops", [(rate("xmpp_stanza_sent_total", by="kind"), "{{kind}}")]),
        ("Mean size of a stanza", "bytes", [(over(rate("xmpp_stanza_size_bytes_sum", by="kind, direction"),
                                                  rate("xmpp_stanza_size_bytes_count", by="kind, direction")), "{{kind}} {{direction}}")]),
        ("Size that 99% of stanzas do not pass", "bytes", [(p(0.99, "xmpp_stanza_size_bytes", by=", kind, direction"), "{{kind}} {{direction}}")]),
        ACK,
        ("Stanzas that wait until a client reads", "short", [(gauge("xmpp_outbound_queue_stanzas", by=POD), BY)]),
        ("Bytes that wait so", "bytes", [(gauge("xmpp_outbound_queue_bytes", by=POD), BY)]),
        ("Bytes kept for clients, until written or acknowledged", "bytes", [(gauge("xmpp_cm_kept_bytes", by=POD), BY)]),
        ("Too much for a slow client, left in its log, a second", "ops", [(rate("xmpp_outbound_overflows_total", by=POD), BY)]),
        ("Calls of session routers, p99", "s", [(p(0.99, "rpc_client_call_duration_seconds", by=", method"), "{{method}}")]),
        ("Calls of session routers that went wrong, a second", "ops",
         [(rate("rpc_client_call_duration_seconds_count", ',status!="ok"', by="method, status"), "{{method}} {{status}}")]),
        LINKS,
        ("Dead clients, sessions registered again, a second", "ops", [(rate("xmpp_cm_dead_total"), "dead"),
                                                                     (rate("xmpp_cm_registered_again_total"), "registered again")]),
        ("Sessions given up a second", "ops", [(rate("starling_link_lapsed_total", by=POD), BY)]),
        ("File descriptors", "short", [(gauge("process_open_fds", by=POD), BY)]),
        CPU, MEMORY, THREADS, TASKS, QUEUE,
    ]),
    "routers": ("Session routers", [
        ("A batch: decide, commit, store, push", "s", quantiles("xmpp_route_duration_seconds")),
        ("Decisions a second", "ops", [(rate("xmpp_route_decisions_total", by="result"), "{{result}}")]),
        DELIVERY,
        ("Pulled messages", "s", quantiles("xmpp_message_delivery_duration_seconds", ',path="pulled"')),
        OUTCOME, SESSIONS,
        ("Unacknowledged stanzas", "short", [(gauge("xmpp_sm_unacked", how="max"), "all sessions")]),
        RESUMES, LINKS,
        ("Links lost, calls sent again, a second", "ops", [(rate("starling_link_lost_total"), "lost"),
                                                          (rate("starling_link_resent_total"), "sent again")]),
        ("Not delivered, refused, a second", "ops", [(rate("starling_link_undelivered_total", by="reason"), "not delivered: {{reason}}"),
                                                     (rate("starling_link_refused_total", by="reason"), "refused: {{reason}}")]),
        ("Calls answered, p99", "s", [(p(0.99, "rpc_server_call_duration_seconds", by=", method"), "{{method}}")]),
        ("Calls answered a second", "ops", [(rate("rpc_server_call_duration_seconds_count", by="method, status"), "{{method}} {{status}}")]),
        ("Frames of a batch", "short", [(over(rate("starling_link_batch_frames_sum", by=POD), rate("starling_link_batch_frames_count", by=POD)), BY)]),
        CPU, MEMORY, THREADS, TASKS, QUEUE,
    ]),
    "stores": ("Stores", [
        ("Redis, p99 by operation", "s", [(p(0.99, "starling_redis_request_duration_seconds", by=", operation"), "{{operation}}")]),
        ("Redis, calls a second", "ops", [(rate("starling_redis_request_duration_seconds_count", by="operation"), "{{operation}}")]),
        ("Redis, failures a second", "ops", [(rate("starling_redis_failures_total", by="operation"), "{{operation}}")]),
        ("Redis, conflicts and new connections a second", "ops", [(rate("starling_redis_conflicts_total"), "conflicts"),
                                                                  (rate("starling_redis_connections_total"), "connections")]),
        ("Redis, what routers keep of accounts' logs", "bytes", [(gauge("starling_redis_kept_bytes", by=POD), BY)]),
        ("CQL, p99 by operation", "s", [(p(0.99, "starling_cql_request_duration_seconds", by=", operation"), "{{operation}}")]),
        ("CQL, statements a second", "ops", [(rate("starling_cql_request_duration_seconds_count", by="operation"), "{{operation}}")]),
        ("CQL, failures a second", "ops", [(rate("starling_cql_failures_total", by="operation"), "{{operation}}")]),
        ("CQL, rows that cannot be read", "short", [('sum(increase(starling_cql_corrupt_rows_total{job=~"$job"}[1h]))', "in an hour")]),
        ("Embedded, time of a group", "s", quantiles("starling_store_write_duration_seconds")),
        ("Embedded, requests of a group", "short", [(over(rate("starling_store_group_requests_sum"), rate("starling_store_group_requests_count")), "mean")]),
        ("Embedded, failures a second", "ops", [(rate("starling_store_failures_total", by=POD), BY)]),
    ]),
    "drain": ("Drain and rollout", [
        CONNECTIONS,
        ("Left to send elsewhere", "short", [(f'sum by ({POD}, what) (starling_drain_left{{job=~"$job"}})', BY + " {{what}}")]),
        ("Who drains (1), or has drained (2)", "short", [(f'max by ({POD}) (starling_drain_state{{job=~"$job"}})', BY)]),
        ("Connections that leave a second", "ops", [(f'-sum by ({POD}) (deriv(xmpp_cm_connections{{job=~"$job"}}[1m])) > 0', BY)]),
        ("Sessions sent away a second", "ops", [(rate("xmpp_drain_evicted_total", by="result"), "{{result}}")]),
        ACCEPTS, RESUMES, SESSIONS,
        ("Sessions that begin anew, a second", "ops", [(rate("xmpp_auth_attempts_total", ',result="success"'), "logins"),
                                                      (rate("xmpp_sm_resume_total", ',result="ok"'), "of these resumed")]),
        ("Pods by version", "short", [('count by (version, component) (starling_build_info{job=~"$job"})', "{{component}} {{version}}")]),
        ("Age of a process", "s", [(f'time() - max by ({POD}) (process_start_time_seconds{{job=~"$job"}})', BY)]),
        LINKS, DELIVERY,
        ("Calls sent again a second", "ops", [(rate("starling_link_resent_total", by=POD), BY)]),
    ]),
    "load": ("Load test", [
        ("Stanzas read and written a second", "ops", [(rate("xmpp_stanza_received_total"), "read"), (rate("xmpp_stanza_sent_total"), "written")]),
        CONNECTIONS, OUTCOME, DELIVERY, ACK,
        ("CPU for a message that was kept or passed", "s", [(over(rate("process_cpu_seconds_total"),
                                                                 rate("xmpp_message_outcome_total", ',outcome=~"kept|passed"')), "all processes")]),
        ("Memory for a connection", "bytes", [(f'sum(process_resident_memory_bytes{{job=~"$job"}} and on (job, instance) '
                                              f'xmpp_cm_streams{{state="bound"}}) / sum(xmpp_cm_connections{{job=~"$job"}})', "managers")]),
        ("Unacknowledged stanzas", "short", [(gauge("xmpp_sm_unacked", how="max"), "all sessions")]),
        CPU, THREADS, QUEUE, MEMORY,
    ]),
}


def panel(number, title, unit, targets):
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": title,
        "datasource": {"type": "prometheus", "uid": "$source"},
        "gridPos": {"h": 8, "w": 12, "x": number % 2 * 12, "y": number // 2 * 8},
        "fieldConfig": {"defaults": {"unit": unit, "custom": {"fillOpacity": 5, "showPoints": "never"}}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi", "sort": "desc"}},
        "targets": [{"refId": chr(65 + index), "expr": expression.replace("sum by () ", "sum").replace("max by () ", "max"), "legendFormat": legend,
                     "datasource": {"type": "prometheus", "uid": "$source"}} for index, (expression, legend) in enumerate(targets)],
    }


def board(name, title, panels):
    return {
        "uid": f"starling-{name}",
        "title": f"Starling: {title}",
        "tags": ["starling"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "timezone": "browser",
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "graphTooltip": 1,
        "links": [{"type": "dashboards", "tags": ["starling"], "title": "Starling", "asDropdown": True, "includeVars": True, "keepTime": True}],
        "templating": {"list": [
            {"name": "source", "type": "datasource", "query": "prometheus", "label": "Source"},
            {"name": "job", "type": "query", "label": "Job", "datasource": {"type": "prometheus", "uid": "$source"},
             "query": {"query": "label_values(starling_build_info, job)", "refId": "job"}, "refresh": 2, "multi": True, "includeAll": True},
        ]},
        "panels": [panel(number, *one) for number, one in enumerate(panels)],
    }


def texts():
    return {f"{name}.json": json.dumps(board(name, *one), indent=1) + "\n" for name, one in BOARDS.items()}


if __name__ == "__main__":
    AT.mkdir(parents=True, exist_ok=True)
    for name, text in texts().items():
        (AT / name).write_text(text)
