{{- define "outlast.labels" -}}
app.kubernetes.io/name: outlast
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "outlast.claim" -}}
{{ .Values.share.existingClaim | default (printf "%s-share" .Release.Name) }}
{{- end -}}

{{- define "outlast.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag }}
{{- end -}}

{{/* What the restricted Pod Security Standard demands of a container. */}}
{{- define "outlast.restricted" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* And of a pod; the share's group is that of all who mount it. */}}
{{- define "outlast.pod" -}}
runAsNonRoot: true
runAsUser: {{ .user }}
runAsGroup: {{ .user }}
fsGroup: {{ .group }}
# Without it, each start goes through the whole share.
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}
