{{/* The repository's haproxy/haproxy.cfg, except its three servers: here replicas come and go, and HAProxy finds them by DNS. */}}
{{- define "is.haproxyConfiguration" -}}
{{- $slots := max (int .Values.api.replicas) (int .Values.api.autoscaling.maxReplicas) -}}
{{- /* One slot more for the replica that an upgrade adds. */ -}}
{{- $servers := printf "    server-template replica- %d \"${REPLICAS_HOST}:8000\"\n" (add1 $slots) -}}
{{- regexReplaceAllLiteral "(    server replica-\\d .*\n)+" (.Files.Get "files/haproxy.cfg") $servers -}}
{{- end -}}
