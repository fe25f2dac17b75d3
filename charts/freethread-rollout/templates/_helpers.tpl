{{- define "ftr.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "ftr.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "ftr.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "ftr.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "ftr.selectorLabels" -}}
app.kubernetes.io/name: {{ include "ftr.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "ftr.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "ftr.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "ftr.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "ftr.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "ftr.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* Cluster-wide names carry the namespace: two releases of one name in two namespaces must not share a role. */}}
{{- define "ftr.clusterName" -}}
{{- printf "%s:%s" .Release.Namespace (include "ftr.fullname" .) -}}
{{- end -}}

{{- define "ftr.metricsSelector" -}}
{{- .Values.prometheusRule.selector | default (printf "job=%q, namespace=%q" (printf "%s-metrics" (include "ftr.fullname" .)) .Release.Namespace) -}}
{{- end -}}

{{/* What the operator does in the namespaces that it watches; in the cluster form and in the single-namespace form alike. */}}
{{- define "ftr.rules" -}}
# The rollouts: the finalizer in their metadata, and their status.
- apiGroups: [freethreading.dev]
  resources: [freethreadrollouts]
  verbs: [list, watch, patch]
- apiGroups: [freethreading.dev]
  resources: [freethreadrollouts/status]
  verbs: [patch]
# The standard pool is read; the free-threaded pool is a Deployment of ours.
- apiGroups: [apps]
  resources: [deployments]
  verbs: [list, watch, create, patch, delete]
# Pods that an orphaning deletion of our Deployment left behind, by the label of the rollout.
- apiGroups: [apps]
  resources: [replicasets]
  verbs: [deletecollection]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
# Jobs that look at an image before its pool is built.
- apiGroups: [batch]
  resources: [jobs]
  verbs: [list, watch, create, delete]
# A GIL that came back, a dead worker: only the log shows it.
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
# Which Services select the pools, and whether another tool manages them.
- apiGroups: [""]
  resources: [services]
  verbs: [list, watch]
# Autoscalers that count our pods are named in the status.
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [list, watch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- if include "ftr.routers" . }}
# Weights go to routes: the free-threaded pool has a Service of its own for them.
- apiGroups: [""]
  resources: [services]
  verbs: [create, patch, delete]
{{- end }}
{{- range $router, $kind := include "ftr.kinds" . | fromYaml }}
{{- if index $.Values.routers $router }}
# Two weights in a route of the team's{{ if $kind.managed }}, or a route of the operator's own{{ end }}.
- apiGroups: [{{ $kind.group }}]
  resources: [{{ $kind.resource }}]
  verbs: [get, list, watch{{ if $kind.managed }}, create{{ end }}, patch]
{{- end }}
{{- end }}
{{- end -}}

{{- define "ftr.kinds" -}}
httpRoute: {group: gateway.networking.k8s.io, resource: httproutes, managed: true}
grpcRoute: {group: gateway.networking.k8s.io, resource: grpcroutes}
virtualService: {group: networking.istio.io, resource: virtualservices}
traefikService: {group: traefik.io, resource: traefikservices}
httpProxy: {group: projectcontour.io, resource: httpproxies}
{{- end -}}

{{- define "ftr.routers" -}}
{{- $on := list }}
{{- range $router, $is := .Values.routers }}{{ if $is }}{{ $on = append $on $router }}{{ end }}{{ end }}
{{- if .Values.flags.enabled }}{{ $on = append $on "flag" }}{{ end }}
{{- join "," $on }}
{{- end -}}
