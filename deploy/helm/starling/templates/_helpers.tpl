{{/* Names stay below 40 characters, so that pods' names are host names. */}}
{{- define "starling.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What identifies the pods of one part: "root" and "part". Never changes. */}}
{{- define "starling.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride | trunc 63 | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .part }}
{{- end -}}

{{- define "starling.labels" -}}
{{ include "starling.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: starling
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{- define "starling.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{- printf "%s@%s" .repository .digest -}}
{{- else -}}
{{- printf "%s:%s" .repository (default $.Chart.AppVersion .tag) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "starling.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "starling.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* The parts of this release that have pods which serve. */}}
{{- define "starling.parts" -}}
{{- eq .Values.mode "cluster" | ternary "manager router" "embedded" -}}
{{- end -}}

{{- define "starling.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "starling.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "starling.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* How many pods a Deployment has now; 0 where there is none, or no cluster to ask. "root", "part". */}}
{{- define "starling.liveReplicas" -}}
{{- $name := printf "%s-%s" (include "starling.fullname" .root) .part -}}
{{- dig "spec" "replicas" 0 (lookup "apps/v1" "Deployment" .root.Release.Namespace $name | default dict) | int -}}
{{- end -}}

{{/*
How many pods a Deployment is to have. Where an autoscaler decides: what it has now, within the bounds. Leaving `replicas` out would
be read as 1 by the upgrade that leaves it out first. "root", "part".
*/}}
{{- define "starling.replicas" -}}
{{- $own := get .root.Values .part -}}
{{- $scaling := $own.autoscaling -}}
{{- if eq .part "manager" | ternary (ne (default "none" $scaling.by) "none") (default false $scaling.enabled) -}}
{{- if gt (int $scaling.minReplicas) (int $scaling.maxReplicas) -}}
{{- fail (printf "%s.autoscaling: minReplicas is above maxReplicas" .part) -}}
{{- end -}}
{{- min (int $scaling.maxReplicas) (max (int $scaling.minReplicas) (include "starling.liveReplicas" . | int)) -}}
{{- else -}}
{{- $own.replicas -}}
{{- end -}}
{{- end -}}

{{/* On which nodes the pods of a part may be. "root", "part". */}}
{{- define "starling.nodes" -}}
{{- with get .root.Values .part -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
{{- end -}}

{{/* Spread by labels of this revision, so that a rollout counts its own pods only. "root", "part", "given". */}}
{{- define "starling.spread" -}}
{{- if .given -}}
{{- toYaml .given -}}
{{- else -}}
{{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
- maxSkew: 1
  topologyKey: {{ $key }}
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- include "starling.selector" $ | nindent 6 }}
  {{- if ne $.part "embedded" }}
  matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The scheduler leaves a node without a label for zones out of the constraints above, so that this alone spreads pods there. "root", "part". */}}
{{- define "starling.apart" -}}
podAntiAffinity:
  preferredDuringSchedulingIgnoredDuringExecution:
    - weight: 100
      podAffinityTerm:
        topologyKey: kubernetes.io/hostname
        labelSelector:
          matchLabels:
            {{- include "starling.selector" . | nindent 12 }}
        matchLabelKeys: [pod-template-hash]
{{- end -}}

{{/* Three questions, each with its own address: has it begun, may clients come, does it still turn. None of them asks a store. */}}
{{- define "starling.probes" -}}
startupProbe:
  httpGet: {path: /startupz, port: admin}
  {{- toYaml .Values.probes.startup | nindent 2 }}
readinessProbe:
  httpGet: {path: /readyz, port: admin}
  {{- toYaml .Values.probes.readiness | nindent 2 }}
livenessProbe:
  httpGet: {path: /livez, port: admin}
  {{- toYaml .Values.probes.liveness | nindent 2 }}
{{- end -}}

{{/* Clients' ports by their names in [listen]. */}}
{{- define "starling.clientPorts" -}}
{{- $all := dict "c2s" 5222 "directTls" 5223 "https" 5443 "http" 5280 -}}
{{- $open := dict -}}
{{- range $name, $port := .Values.service.ports -}}
{{- if $port }}{{ $_ := set $open $name (get $all $name) }}{{ end -}}
{{- end -}}
{{- toJson $open -}}
{{- end -}}

{{- define "starling.portName" -}}
{{- get (dict "c2s" "xmpp-client" "directTls" "xmpps-client" "https" "https" "http" "http") . -}}
{{- end -}}

{{/* What a manager's drain may take: its pace times all it may hold, twice what it is scaled for. */}}
{{- define "starling.managerGrace" -}}
{{- $drain := .Values.drain -}}
{{- $longest := int $drain.windowSeconds -}}
{{- if $drain.maxRate -}}
{{- $longest = max $longest (div (mul 2 (int .Values.manager.connectionsPerPod)) (int $drain.maxRate)) -}}
{{- end -}}
{{- $made := add .Values.manager.preStopSeconds $longest 60 -}}
{{- default $made (int .Values.manager.terminationGracePeriodSeconds) -}}
{{- end -}}

{{/* Which secret has the certificate that clients of a domain see; empty: none. "root", "domain". */}}
{{- define "starling.clientSecret" -}}
{{- $tls := .root.Values.tls -}}
{{- $own := get $tls.existingSecrets .domain -}}
{{- if $own -}}
{{- $own -}}
{{- else if $tls.existingSecret -}}
{{- $tls.existingSecret -}}
{{- else if $tls.certManager.enabled -}}
{{- printf "%s-client-tls" (include "starling.fullname" .root) -}}
{{- end -}}
{{- end -}}

{{/* Below /etc/starling, where the certificate of a domain is; a path of Kubernetes has no colons. */}}
{{- define "starling.tlsFolder" -}}
tls/{{ . | trimAll "[]" | replace ":" "-" }}
{{- end -}}

{{/* Whether administrators are served there: by whoever decides about stanzas. "root", "part". */}}
{{- define "starling.servesApi" -}}
{{- if and .root.Values.api.enabled (ne .part "manager") }}true{{ end -}}
{{- end -}}

{{/* Whether a part has the certificates of `tls`. "root", "part". */}}
{{- define "starling.showsCertificates" -}}
{{- if or (ne .part "router") (include "starling.servesApi" .) }}true{{ end -}}
{{- end -}}

{{/* Whether an object of the Prometheus operator is wanted. "root", "enabled", "kind". */}}
{{- define "starling.watches" -}}
{{- if eq (toString .enabled) "auto" -}}
{{- if .root.Capabilities.APIVersions.Has (printf "monitoring.coreos.com/v1/%s" .kind) }}true{{ end -}}
{{- else if .enabled }}true{{ end -}}
{{- end -}}

{{/* Which secret has the node certificate of a role. "root", "part". */}}
{{- define "starling.nodeSecret" -}}
{{- $tls := .root.Values.nodeTls -}}
{{- $given := get $tls (printf "%sSecret" .part) -}}
{{- if $given -}}
{{- $given -}}
{{- else if $tls.certManager.enabled -}}
{{- printf "%s-%s-tls" (include "starling.fullname" .root) .part -}}
{{- else -}}
{{- fail (printf "mode cluster: nodes know one another by certificates; set nodeTls.certManager.enabled, or nodeTls.%sSecret" .part) -}}
{{- end -}}
{{- end -}}

{{- define "starling.clusterSecret" -}}
{{- default (printf "%s-cluster" (include "starling.fullname" .)) .Values.clusterSecret.existingSecret -}}
{{- end -}}

{{- define "starling.redisUrl" -}}
{{- .Values.devStores.enabled | ternary (printf "redis://%s-dev-redis:6379/0" (include "starling.fullname" .)) .Values.redis.url -}}
{{- end -}}
