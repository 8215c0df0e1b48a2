{{/* The template of a pod that serves. "root", "part". */}}
{{- define "starling.pod" -}}
{{- $root := .root -}}
{{- $part := .part -}}
{{- $own := get $root.Values $part -}}
metadata:
  labels:
    {{- include "starling.selector" . | nindent 4 }}
    app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
    app.kubernetes.io/part-of: starling
    {{- with $own.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    checksum/config: {{ include "starling.config" . | sha256sum }}
    kubectl.kubernetes.io/default-container: starling
    {{- with $own.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "starling.serviceAccount" $root | quote }}
  automountServiceAccountToken: false
  # Their variables would begin with STARLING_, which the server takes for its configuration, and refuses.
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ eq $part "manager" | ternary (include "starling.managerGrace" $root) $own.terminationGracePeriodSeconds }}
  {{- include "starling.pullSecrets" $root | indent 2 }}
  securityContext:
    {{- include "starling.podSecurity" $root | nindent 4 }}
  {{- if and (eq $part "router") (eq $root.Values.migration.by "init") }}
  initContainers:
    - name: migrate
      image: {{ include "starling.image" $root | quote }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      args: [store, migrate, --config, /etc/starling/config/starling.toml]
      securityContext:
        {{- include "starling.containerSecurity" $root | nindent 8 }}
      resources:
        {{- toYaml $root.Values.migration.resources | nindent 8 }}
      volumeMounts:
        {{- include "starling.mounts" . | nindent 8 }}
  {{- end }}
  containers:
    - name: starling
      image: {{ include "starling.image" $root | quote }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      args: [run, --config, /etc/starling/config/starling.toml]
      env:
        {{- if ne $part "embedded" }}
        - name: STARLING_CLUSTER_NAME
          valueFrom: {fieldRef: {fieldPath: metadata.name}}
        {{- end }}
        - name: STARLING_LOG_FORMAT
          value: json
        {{- with $own.env }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      ports:
        {{- if eq $part "router" }}
        - {name: link, containerPort: 5290, protocol: TCP}
        {{- else }}
        {{- range $name, $port := include "starling.clientPorts" $root | fromJson }}
        - {name: {{ include "starling.portName" $name }}, containerPort: {{ $port }}, protocol: TCP}
        {{- end }}
        {{- end }}
        - {name: admin, containerPort: 5281, protocol: TCP}
        {{- if include "starling.servesApi" . }}
        - {name: api, containerPort: 5282, protocol: TCP}
        {{- end }}
      {{- include "starling.probes" $root | nindent 6 }}
      {{- if $own.preStopSeconds }}
      lifecycle:
        preStop:
          sleep: {seconds: {{ $own.preStopSeconds }}}
      {{- end }}
      securityContext:
        {{- include "starling.containerSecurity" $root | nindent 8 }}
      resources:
        {{- toYaml $own.resources | nindent 8 }}
      volumeMounts:
        {{- include "starling.mounts" . | nindent 8 }}
  volumes:
    {{- include "starling.volumes" . | nindent 4 }}
  topologySpreadConstraints:
    {{- include "starling.spread" (dict "root" $root "part" $part "given" $own.topologySpreadConstraints) | trim | nindent 4 }}
  {{- include "starling.nodes" . | indent 2 }}
  {{- if $own.affinity }}
  affinity:
    {{- toYaml $own.affinity | nindent 4 }}
  {{- else if ne $part "embedded" }}
  affinity:
    {{- include "starling.apart" (dict "root" $root "part" $part) | nindent 4 }}
  {{- end }}
  {{- with $own.priorityClassName }}
  priorityClassName: {{ . | quote }}
  {{- end }}
{{- end -}}

{{/* Secrets a part has as files: the folder below /etc/starling, the secret, and under which keys. "root", "part". */}}
{{- define "starling.secretFiles" -}}
{{- $values := .root.Values -}}
{{- $files := list -}}
{{- if include "starling.showsCertificates" . -}}
{{- range $index, $domain := $values.domains -}}
{{- with include "starling.clientSecret" (dict "root" $.root "domain" $domain) -}}
{{- $files = append $files (dict "name" (printf "tls-%d" $index) "at" (include "starling.tlsFolder" $domain) "secret" . "keys" (list "tls.crt" "tls.key")) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with $values.otlp -}}
{{- $keys := list -}}
{{- if .headersKey }}{{ $keys = append $keys (printf "%s=headers" .headersKey) }}{{ end -}}
{{- if .caKey }}{{ $keys = append $keys (printf "%s=ca.crt" .caKey) }}{{ end -}}
{{- if $keys }}{{ $files = append $files (dict "name" "otlp" "at" "otlp" "secret" .existingSecret "keys" $keys) }}{{ end -}}
{{- end -}}
{{- if include "starling.servesApi" . -}}
{{- $files = append $files (dict "name" "api" "at" "api" "secret" $values.api.existingSecret "keys" (list (printf "%s=tokens" $values.api.tokensKey))) -}}
{{- end -}}
{{- if ne .part "embedded" -}}
{{- $files = append $files (dict "name" "node" "at" "node" "secret" (include "starling.nodeSecret" .) "keys" (list "tls.crt" "tls.key" "ca.crt")) -}}
{{- end -}}
{{- if eq .part "router" -}}
{{- $files = append $files (dict "name" "cluster" "at" "cluster" "secret" (include "starling.clusterSecret" .root) "keys" (list "secret")) -}}
{{- $files = concat $files (include "starling.storeFiles" (dict "root" .root "stores" (list "redis" "scylla")) | fromJsonArray) -}}
{{- end -}}
{{- toJson $files -}}
{{- end -}}

{{/* The same for stores. "root", "stores". */}}
{{- define "starling.storeFiles" -}}
{{- $files := list -}}
{{- range $store := .stores -}}
{{- with get $.root.Values $store -}}
{{- if .existingSecret -}}
{{- $keys := list (printf "%s=password" .passwordKey) -}}
{{- with get . "sentinelPasswordKey" }}{{ $keys = append $keys (printf "%s=sentinel-password" .) }}{{ end -}}
{{- $files = append $files (dict "name" $store "at" $store "secret" .existingSecret "keys" $keys) -}}
{{- end -}}
{{- if .tls.existingSecret -}}
{{- $keys := .tls.clientCertificate | ternary (list "ca.crt" "tls.crt" "tls.key") (list "ca.crt") -}}
{{- $files = append $files (dict "name" (printf "%s-tls" $store) "at" (printf "%s-tls" $store) "secret" .tls.existingSecret "keys" $keys) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $files -}}
{{- end -}}

{{/* A list of secret files as volumes. */}}
{{- define "starling.secretVolumes" -}}
{{- range . }}
- name: {{ .name }}
  secret:
    secretName: {{ .secret | quote }}
    defaultMode: 0440
    items:
      {{- range .keys }}
      {{- $pair := splitList "=" . }}
      - {key: {{ first $pair | quote }}, path: {{ last $pair | quote }}}
      {{- end }}
{{- end }}
{{- end -}}

{{/* … and as mounts: whole folders, so that a changed secret is seen. */}}
{{- define "starling.secretMounts" -}}
{{- range . }}
- {name: {{ .name }}, mountPath: {{ printf "/etc/starling/%s" .at | quote }}, readOnly: true}
{{- end }}
{{- end -}}

{{- define "starling.mounts" -}}
- {name: config, mountPath: /etc/starling/config, readOnly: true}
- {name: data, mountPath: /var/lib/starling}
{{- include "starling.secretMounts" (include "starling.secretFiles" . | fromJsonArray) }}
{{- end -}}

{{- define "starling.volumes" -}}
- name: config
  configMap:
    name: {{ include "starling.fullname" .root }}-{{ .part }}
{{- if not (and (eq .part "embedded") .root.Values.embedded.persistence.enabled) }}
- name: data
  emptyDir: {}
{{- end }}
{{- include "starling.secretVolumes" (include "starling.secretFiles" . | fromJsonArray) }}
{{- end -}}
