{{/* Stops an upgrade that changes fields which Kubernetes would refuse halfway, without a hint on what to do.
     It reads the installed objects; without a cluster (helm template) it finds none and checks nothing. */}}
{{- define "is.checkInstalled" -}}
{{- include "is.checkName" . -}}
{{- $steps := list -}}
{{- $reasons := list -}}
{{- range $part, $sizes := dict
      "qdrant" (dict "storage" .Values.qdrant.persistence.size "snapshots" .Values.qdrant.persistence.snapshotsSize)
      "redis" (dict "data" .Values.redis.persistence.size)
      "rabbitmq" (dict "data" .Values.rabbitmq.persistence.size) -}}
{{- $name := printf "%s-%s" (include "is.fullname" $) $part -}}
{{- $set := lookup "apps/v1" "StatefulSet" $.Release.Namespace $name -}}
{{- if and $set (get $.Values $part).enabled -}}
{{- $before := len $reasons -}}
{{- if and (eq $part "qdrant") (ne $set.spec.podManagementPolicy "Parallel") -}}
{{- $reasons = append $reasons (printf "An earlier chart made the StatefulSet %s, whose nodes wait for each other (podManagementPolicy %s)." $name $set.spec.podManagementPolicy) -}}
{{- end -}}
{{- range $claim := $set.spec.volumeClaimTemplates -}}
{{- $has := $claim.spec.resources.requests.storage -}}
{{- $wanted := get $sizes $claim.metadata.name | default $has -}}
{{- $more := subf (include "is.bytes" $wanted | float64) (include "is.bytes" $has | float64) -}}
{{- if lt $more 0.0 -}}
{{- fail (printf "A volume cannot become smaller: the volumes %s of %s have %s, and the values ask for %s. Set the size back." $claim.metadata.name $name $has $wanted) -}}
{{- else if gt $more 0.0 -}}
{{- $reasons = append $reasons (printf "The volumes %s of %s have %s, and the values ask for %s." $claim.metadata.name $name $has $wanted) -}}
{{- range $number := until (int $set.spec.replicas) -}}
{{- $steps = append $steps (printf `kubectl --namespace %s patch pvc %s-%s-%d --patch '{"spec":{"resources":{"requests":{"storage":"%s"}}}}'` $.Release.Namespace $claim.metadata.name $name $number $wanted) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if gt (len $reasons) $before -}}
{{- $steps = append $steps (printf "kubectl --namespace %s delete statefulset %s --cascade=orphan" $.Release.Namespace $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if $reasons -}}
{{- fail (printf "\n\n%s\nKubernetes does not change that in a StatefulSet. Nothing has been changed yet. Run this, which keeps pods and data, and then repeat the upgrade:\n\n  %s\n\nVolumes grow only where their storage class says allowVolumeExpansion.\n" (join "\n" $reasons) (join "\n  " $steps)) -}}
{{- end -}}
{{- end -}}

{{/* Names and selectors cannot change: an upgrade with another name would make new objects beside the old ones, without their data. */}}
{{- define "is.checkName" -}}
{{- $name := include "is.fullname" . -}}
{{- $label := default .Chart.Name .Values.nameOverride -}}
{{- range (lookup "apps/v1" "Deployment" .Release.Namespace "").items -}}
{{- $owner := dig "annotations" "meta.helm.sh/release-name" "" .metadata -}}
{{- $labels := .metadata.labels | default dict -}}
{{- if and (eq $owner $.Release.Name) (eq (get $labels "app.kubernetes.io/component") "api") -}}
{{- $installed := trimSuffix "-api" .metadata.name -}}
{{- $had := get $labels "app.kubernetes.io/name" -}}
{{- if or (ne $installed $name) (ne $had $label) -}}
{{- fail (printf "Release %s is installed as %s (app.kubernetes.io/name %s), and these values would make it %s (%s). Objects with data cannot be renamed: set nameOverride and fullnameOverride back to what they were, or install a second release and move the images there." $.Release.Name $installed $had $name $label) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A size such as 50Gi or 1.5T as a number of bytes. */}}
{{- define "is.bytes" -}}
{{- $number := regexFind "^[0-9.]+" . -}}
{{- $units := dict "" 1 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "Pi" 1125899906842624 -}}
{{- mulf (float64 $number) (get $units (trimPrefix $number .)) -}}
{{- end -}}
