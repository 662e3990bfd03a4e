{{/* The repository's haproxy/haproxy.cfg, but for its three servers: here replicas come and go, and DNS tells of them. */}}
{{- define "is.haproxyConfiguration" -}}
{{- $slots := max (int .Values.api.replicas) (int .Values.api.autoscaling.maxReplicas) -}}
{{- /* One more for the replica that an upgrade adds. */ -}}
{{- $servers := printf "    server-template replica- %d \"${REPLICAS_HOST}:8000\"\n" (add1 $slots) -}}
{{- regexReplaceAllLiteral "(    server replica-\\d .*\n)+" (.Files.Get "files/haproxy.cfg") $servers -}}
{{- end -}}
