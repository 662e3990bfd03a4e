{{/* Parts of every pod of our own image: settings, secrets, model, image bytes. */}}

{{/* Settings as JSON; `config` overrides the chart's own settings. */}}
{{- define "is.settings" -}}
{{- $name := include "is.fullname" . -}}
{{- $settings := dict "MODEL_NAME" .Values.model.name "MODEL_FALLBACK" "false" "STORAGE_URL" (include "is.storageUrl" .) -}}
{{- if .Values.qdrant.enabled -}}
{{- $_ := set $settings "QDRANT_URL" (printf "http://%s-qdrant-nodes:6333" $name) -}}
{{- $_ := set $settings "QDRANT_SHARD_NUMBER" .Values.qdrant.shards -}}
{{- $_ := set $settings "QDRANT_REPLICATION_FACTOR" .Values.qdrant.replicationFactor -}}
{{- $_ := set $settings "QDRANT_EXPECTED_PEERS" .Values.qdrant.replicas -}}
{{- else -}}
{{- $_ := set $settings "QDRANT_URL" .Values.externalQdrant.url -}}
{{- $_ := set $settings "QDRANT_GRPC_PORT" .Values.externalQdrant.grpcPort -}}
{{- end -}}
{{- if .Values.redis.enabled -}}
{{- $_ := set $settings "REDIS_HOST" (printf "%s-redis" $name) -}}
{{- end -}}
{{- if include "is.bucket" . -}}
{{- with .Values.storage.s3.region }}{{ $_ := set $settings "AWS_REGION" . }}{{ end -}}
{{- with .Values.storage.s3.endpoint }}{{ $_ := set $settings "AWS_ENDPOINT" . }}{{ end -}}
{{- if hasPrefix "http://" .Values.storage.s3.endpoint }}{{ $_ := set $settings "AWS_ALLOW_HTTP" "true" }}{{ end -}}
{{- end -}}
{{- with .Values.tracing.endpoint }}{{ $_ := set $settings "OTEL_EXPORTER_OTLP_ENDPOINT" . }}{{ end -}}
{{- range $key, $value := .Values.config }}{{ $_ := set $settings $key $value }}{{ end -}}
{{- toJson $settings -}}
{{- end -}}

{{/* Environment of a container. Takes (list $ settings-of-its-own secrets-of-its-own). */}}
{{- define "is.env" -}}
{{- $ := index . 0 -}}
{{- $settings := include "is.settings" $ | fromJson -}}
{{- range $key, $value := index . 1 }}{{ $_ := set $settings $key $value }}{{ end -}}
{{- range $key, $value := $settings }}
- name: {{ $key }}
  {{- /* Large numbers would come out as 1.073741824e+09. */}}
  value: {{ ternary ($value | int64 | toString) ($value | toString) (and (kindIs "float64" $value) (eq (toString $value | float64 | floor) (toString $value | float64))) | quote }}
{{- end }}
{{- /* By the container's limit; by default both would count the node's processors. */}}
{{- range $key := list "DECODE_THREADS" "OMP_NUM_THREADS" }}
{{- if not (hasKey $settings $key) }}
- name: {{ $key }}
  valueFrom: { resourceFieldRef: { resource: limits.cpu } }
{{- end }}
{{- end }}
{{- $secrets := concat (index . 2) (list "QDRANT_API_KEY") }}
{{- if $.Values.redis.enabled }}{{ $secrets = append $secrets "REDIS_PASSWORD" }}{{ end }}
{{- if $.Values.externalRedis.enabled }}{{ $secrets = append $secrets "REDIS_URL" }}{{ end }}
{{- if include "is.bucket" $ }}{{ $secrets = concat $secrets (list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY") }}{{ end }}
{{- range $key := $secrets }}
- name: {{ $key }}
  valueFrom:
    secretKeyRef:
      name: {{ include "is.secret" $ }}
      key: {{ $key }}
      {{- if or (hasPrefix "AWS_" $key) (and (eq $key "QDRANT_API_KEY") (not $.Values.qdrant.enabled)) }}
      optional: true
      {{- end }}
{{- end }}
{{- end -}}

{{/* Pods restart if secrets given as values change; generated secrets never change. */}}
{{- define "is.podAnnotations" -}}
{{- $ := index . 0 -}}
checksum/secrets: {{ list $.Values.secrets $.Values.externalRedis $.Values.externalRabbitmq | toJson | sha256sum | trunc 16 }}
{{- with index . 1 }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "is.downloads" -}}
{{- if and (ne .Values.model.source "image") (ne .Values.model.name "mini") }}yes{{ end -}}
{{- end -}}

{{- define "is.volumeMounts" -}}
- { name: data, mountPath: /data }
- { name: tmp, mountPath: /tmp }
{{- if include "is.downloads" . }}
- { name: models, mountPath: /models }
{{- end }}
{{- end -}}

{{- define "is.volumes" -}}
- name: data
  {{- if .Values.storage.url }}
  emptyDir: {}
  {{- else }}
  persistentVolumeClaim: { claimName: {{ .Values.storage.volume.existingClaim | default (printf "%s-images" (include "is.fullname" .)) }} }
  {{- end }}
- name: tmp
  emptyDir: {}
{{- if include "is.downloads" . }}
- name: models
  {{- if eq .Values.model.source "volume" }}
  persistentVolumeClaim: { claimName: {{ .Values.model.volume.existingClaim | default (printf "%s-models" (include "is.fullname" .)) }} }
  {{- else }}
  emptyDir: { sizeLimit: {{ .Values.model.volume.size }} }
  {{- end }}
{{- end }}
{{- end -}}

{{/* Runs before the program, so that the program starts once, when all parts are there. */}}
{{- define "is.initContainers" -}}
{{- if include "is.downloads" . }}
- name: model
  image: {{ include "is.image" . }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  args: [download-model]
  env:
    - { name: MODEL_NAME, value: {{ .Values.model.name | quote }} }
  resources:
    requests: { cpu: 100m, memory: 256Mi }
    limits: { cpu: "1", memory: 1Gi }
  volumeMounts: {{- include "is.volumeMounts" . | nindent 4 }}
  {{- include "is.containerSecurity" . | nindent 2 }}
{{- end }}
{{- if .Values.qdrant.enabled }}
- name: wait-for-qdrant
  image: {{ include "is.image" . }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command:
    - python3
    - -c
    - |
      import os, time, urllib.request

      while True:
          try:
              urllib.request.urlopen(os.environ["URL"], timeout=5)
              break
          except OSError as error:
              print(f"Qdrant is not ready yet: {error}", flush=True)
              time.sleep(2)
  env:
    - { name: URL, value: "http://{{ include "is.fullname" . }}-qdrant:6333/readyz" }
  resources:
    requests: { cpu: 10m, memory: 32Mi }
    limits: { cpu: 500m, memory: 128Mi }
  {{- include "is.containerSecurity" . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* CPU, memory and GPUs. Takes the values of a component. */}}
{{- define "is.resources" -}}
{{- $resources := deepCopy .resources -}}
{{- if gt (int .gpu.count) 0 -}}
{{- $limits := $resources.limits | default dict -}}
{{- $_ := set $limits .gpu.resource (int .gpu.count | toString) -}}
{{- $_ := set $resources "limits" $limits -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end -}}
