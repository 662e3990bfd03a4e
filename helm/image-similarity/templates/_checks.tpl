{{/* Combinations that values.schema.json cannot judge. */}}
{{- define "is.check" -}}
{{- if and (not .Values.qdrant.enabled) (not .Values.externalQdrant.url) -}}
{{- fail "Replicas need a Qdrant that they share: set externalQdrant.url, or leave qdrant.enabled true." -}}
{{- end -}}
{{- if and .Values.qdrant.enabled .Values.externalQdrant.url -}}
{{- fail "externalQdrant.url is set: set qdrant.enabled to false, or the chart's Qdrant would run unused." -}}
{{- end -}}
{{- if gt (int .Values.qdrant.replicationFactor) (int .Values.qdrant.replicas) -}}
{{- fail (printf "qdrant.replicationFactor is %v, more than the %v nodes of qdrant.replicas." .Values.qdrant.replicationFactor .Values.qdrant.replicas) -}}
{{- end -}}
{{- range $part, $key := dict "redis" "REDIS_URL" "rabbitmq" "BROKER_URL" -}}
{{- $external := get $.Values (printf "external%s" (title $part)) -}}
{{- if and (get $.Values $part).enabled $external.enabled -}}
{{- fail (printf "%s.enabled and external%s.enabled are both true; choose one." $part (title $part)) -}}
{{- end -}}
{{- if and $external.enabled (not $external.url) (not $.Values.secrets.existingSecret) -}}
{{- fail (printf "external%s.url is empty; set it, or give secrets.existingSecret with the key %s." (title $part) $key) -}}
{{- end -}}
{{- end -}}
{{- if gt (int .Values.api.autoscaling.minReplicas) (int .Values.api.autoscaling.maxReplicas) -}}
{{- fail "api.autoscaling.minReplicas is more than maxReplicas." -}}
{{- end -}}
{{- if and .Values.worker.keda.enabled (not (include "is.workers" .)) -}}
{{- fail "worker.keda.enabled is true, but there are no workers: they need worker.enabled and RabbitMQ." -}}
{{- end -}}
{{- end -}}
