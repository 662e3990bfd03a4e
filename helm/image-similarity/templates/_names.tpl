{{/* Names and labels. */}}

{{- define "is.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- /* Room for "-rabbitmq-headless-0" within the 63 characters of a DNS label. */ -}}
{{- $full | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The labels that never change: selectors. Takes (list $ "component"). */}}
{{- define "is.selector" -}}
{{- $ := index . 0 -}}
app.kubernetes.io/name: {{ default $.Chart.Name $.Values.nameOverride }}
app.kubernetes.io/instance: {{ $.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "is.labels" -}}
{{- $ := index . 0 -}}
{{ include "is.selector" . }}
app.kubernetes.io/part-of: image-similarity
app.kubernetes.io/version: {{ include "is.tag" $ | trunc 63 | trimSuffix "-" | quote }}
app.kubernetes.io/managed-by: {{ $.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $.Chart.Name $.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "is.metadata" -}}
{{- $ := index . 0 -}}
{{- $suffix := index . 1 -}}
{{- $component := last . -}}
name: {{ include "is.fullname" $ }}-{{ $suffix }}
namespace: {{ $.Release.Namespace }}
labels:
  {{- include "is.labels" (list $ $component) | nindent 2 }}
{{- end -}}

{{- define "is.tag" -}}
{{- .Values.image.tag | default .Chart.AppVersion -}}
{{- end -}}

{{- define "is.image" -}}
{{ .Values.image.repository }}:{{ include "is.tag" . }}
{{- end -}}

{{- define "is.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "is.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "is.secret" -}}
{{- default (include "is.fullname" .) .Values.secrets.existingSecret -}}
{{- end -}}

{{/* Whether parts are used; a text that is not empty means yes. */}}

{{- define "is.broker" -}}
{{- if or .Values.rabbitmq.enabled .Values.externalRabbitmq.enabled }}yes{{ end -}}
{{- end -}}

{{- define "is.workers" -}}
{{- if and .Values.worker.enabled (include "is.broker" .) }}yes{{ end -}}
{{- end -}}

{{- define "is.bucket" -}}
{{- if hasPrefix "s3://" .Values.storage.url }}yes{{ end -}}
{{- end -}}

{{- define "is.storageUrl" -}}
{{- .Values.storage.url | default "file:///data/images" -}}
{{- end -}}

{{/* Service for requests to the API: the balancer, else the replicas'. */}}
{{- define "is.apiService" -}}
{{ include "is.fullname" . }}-{{ ternary "haproxy" "api" .Values.haproxy.enabled }}
{{- end -}}
{{- define "is.apiPort" -}}
{{ ternary 8080 8000 .Values.haproxy.enabled }}
{{- end -}}

{{/* Paths of a host that belong to the API, as JSON; the page has the rest. /metrics must not be public. */}}
{{- define "is.apiPaths" -}}
{{- list "/api" "/docs" "/openapi.json" | toJson -}}
{{- end -}}
