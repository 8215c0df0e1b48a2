{{/*
A table of TOML. Helm's own toToml writes whole numbers as 1000.0, which the server refuses; JSON's numbers, strings and lists of
them are TOML as they stand. "table", "path".
*/}}
{{- define "starling.toml" -}}
{{- $path := .path -}}
{{- range $key, $value := .table }}
{{- if not (or (kindIs "map" $value) (kindIs "invalid" $value)) }}
{{ include "starling.tomlKey" $key }} = {{ mustToRawJson $value }}
{{- end }}
{{- end }}
{{- range $key, $value := .table }}
{{- if kindIs "map" $value }}
{{- $inner := append $path (include "starling.tomlKey" $key) }}

[{{ join "." $inner }}]
{{- include "starling.toml" (dict "table" $value "path" $inner) }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "starling.tomlKey" -}}
{{- regexMatch "^[A-Za-z0-9_-]+$" . | ternary . (toJson .) -}}
{{- end -}}

{{/* Redis and the CQL store, as a router is told of them. */}}
{{- define "starling.stores" -}}
{{- $redis := dict "url" (include "starling.redisUrl" .) -}}
{{- with .Values.redis -}}
{{- if .existingSecret }}{{ $_ := set $redis "password-file" "/etc/starling/redis/password" }}{{ end -}}
{{- if .clusterNodes }}{{ $_ := set $redis "cluster-nodes" .clusterNodes }}{{ end -}}
{{- if .sentinels -}}
{{- $_ := set $redis "sentinels" .sentinels -}}
{{- $_ := set $redis "sentinel-master" .sentinelMaster -}}
{{- if .sentinelPasswordKey }}{{ $_ := set $redis "sentinel-password-file" "/etc/starling/redis/sentinel-password" }}{{ end -}}
{{- end -}}
{{- if .tls.existingSecret }}{{ $_ := set $redis "tls" (include "starling.storeTls" (list "redis" .tls.clientCertificate) | fromJson) }}{{ end -}}
{{- end -}}
{{- toJson (dict "redis" $redis "scylla" (include "starling.scylla" . | fromJson)) -}}
{{- end -}}

{{- define "starling.scylla" -}}
{{- $scylla := dict "keyspace" .Values.scylla.keyspace -}}
{{- if .Values.devStores.enabled -}}
{{- $_ := set $scylla "nodes" (list (printf "%s-dev-scylla:9042" (include "starling.fullname" .))) -}}
{{- $_ := set $scylla "replication-factor" 1 -}}
{{- else -}}
{{- with .Values.scylla -}}
{{- $_ := set $scylla "nodes" .nodes -}}
{{- $_ := set $scylla "replication-factor" .replicationFactor -}}
{{- if .datacenter }}{{ $_ := set $scylla "datacenter" .datacenter }}{{ end -}}
{{- if .user }}{{ $_ := set $scylla "user" .user }}{{ end -}}
{{- if .existingSecret }}{{ $_ := set $scylla "password-file" "/etc/starling/scylla/password" }}{{ end -}}
{{- if .tls.existingSecret -}}
{{- $tls := include "starling.storeTls" (list "scylla" .tls.clientCertificate) | fromJson -}}
{{- if .tls.serverName }}{{ $_ := set $tls "server-name" .tls.serverName }}{{ end -}}
{{- $_ := set $scylla "tls" $tls -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $scylla -}}
{{- end -}}

{{- define "starling.storeTls" -}}
{{- $at := printf "/etc/starling/%s-tls" (index . 0) -}}
{{- $tls := dict "ca" (printf "%s/ca.crt" $at) -}}
{{- if index . 1 -}}
{{- $_ := set $tls "certificate" (printf "%s/tls.crt" $at) -}}
{{- $_ := set $tls "key" (printf "%s/tls.key" $at) -}}
{{- end -}}
{{- toJson $tls -}}
{{- end -}}

{{/* [api]: with TLS on every address of the pod, by the tokens of a file. */}}
{{- define "starling.api" -}}
{{- $service := printf "%s-api" (include "starling.fullname" .) -}}
{{- $names := list $service (printf "%s.%s" $service .Release.Namespace) (printf "%s.%s.svc" $service .Release.Namespace) -}}
{{- $hosts := concat $names .Values.api.hosts | uniq -}}
{{- toJson (dict "listen" (printf "%s:5282" .Values.bindAddress) "tls" true "hosts" $hosts "tokens-file" "/etc/starling/api/tokens") -}}
{{- end -}}

{{/* starling.toml of one part. "root", "part". */}}
{{- define "starling.config" -}}
{{- $values := .root.Values -}}
{{- $own := dict "domains" $values.domains "data-dir" "/var/lib/starling/data" -}}
{{- $_ := set $own "mode" (eq .part "embedded" | ternary "embedded" "cluster") -}}
{{- $_ := set $own "admin" (dict "listen" (printf "%s:5281" $values.bindAddress)) -}}
{{- with $values.otlp -}}
{{- $files := dict -}}
{{- if .headersKey }}{{ $_ := set $files "headers-file" "/etc/starling/otlp/headers" }}{{ end -}}
{{- if .caKey }}{{ $_ := set $files "ca-file" "/etc/starling/otlp/ca.crt" }}{{ end -}}
{{- if $files }}{{ $_ := set $own "otlp" $files }}{{ end -}}
{{- end -}}
{{- if ne .part "router" -}}
{{- $open := include "starling.clientPorts" .root | fromJson -}}
{{- $listen := dict "c2s" list "direct-tls" list "https" list "http" list -}}
{{- range $name, $port := $open -}}
{{- $_ := set $listen (eq $name "directTls" | ternary "direct-tls" $name) (list (printf "%s:%d" $values.bindAddress (int $port))) -}}
{{- end -}}
{{- $_ := set $own "listen" $listen -}}
{{- end -}}
{{- if include "starling.showsCertificates" . -}}
{{- $certificates := dict -}}
{{- range $domain := $values.domains -}}
{{- if include "starling.clientSecret" (dict "root" $.root "domain" $domain) -}}
{{- $at := printf "/etc/starling/%s" (include "starling.tlsFolder" $domain) -}}
{{- $_ := set $certificates $domain (dict "certificate" (printf "%s/tls.crt" $at) "key" (printf "%s/tls.key" $at)) -}}
{{- end -}}
{{- end -}}
{{- if $certificates }}{{ $_ := set $own "tls" (dict "certificates" $certificates) }}{{ end -}}
{{- end -}}
{{- if include "starling.servesApi" . -}}
{{- $_ := set $own "api" (include "starling.api" .root | fromJson) -}}
{{- end -}}
{{- if ne .part "embedded" -}}
{{- $at := "/etc/starling/node" -}}
{{- $cluster := dict "certificate" (printf "%s/tls.crt" $at) "key" (printf "%s/tls.key" $at) "authority" (printf "%s/ca.crt" $at) -}}
{{- if eq .part "manager" -}}
{{- $_ := set $cluster "roles" (list "connection-manager") -}}
{{- $_ := set $cluster "routers" (list (printf "%s-router:5290" (include "starling.fullname" .root))) -}}
{{- $_ := set $own "drain" (dict "window" (printf "%ds" (int $values.drain.windowSeconds)) "max-rate" $values.drain.maxRate) -}}
{{- else -}}
{{- $_ := set $cluster "roles" (list "session-router") -}}
{{- $_ := set $cluster "listen" (printf "%s:5290" $values.bindAddress) -}}
{{- $_ := set $cluster "secret" "/etc/starling/cluster/secret" -}}
{{- $own = mergeOverwrite $own (include "starling.stores" .root | fromJson) -}}
{{- end -}}
{{- $_ := set $own "cluster" $cluster -}}
{{- end -}}
{{- $table := mergeOverwrite (deepCopy $values.config) $own -}}
{{- include "starling.toml" (dict "table" $table "path" list) | trim -}}
{{- end -}}
