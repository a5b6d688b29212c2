{{/*
What the chart's own secret holds, made or found once for a render: a dict of texts. What was made before is looked up, so
that an upgrade changes nothing; `helm template` can look nothing up, and makes it anew: give it values or secrets that
exist.
*/}}
{{- define "gristmill.prepare" -}}
{{- if not (hasKey .Values "made") -}}
{{- $made := dict -}}
{{- $found := lookup "v1" "Secret" .Release.Namespace (include "gristmill.name" .) | default dict -}}
{{- $kept := get $found "data" | default dict -}}
{{- if not .Values.admin.existingSecret -}}
{{- $password := .Values.admin.password | default (get $kept .Values.admin.secretKey | b64dec) | default (randAlphaNum 24) -}}
{{- $_ := set $made .Values.admin.secretKey $password -}}
{{- end -}}
{{- if not .Values.signingKey.existingSecret -}}
{{- $pem := .Values.signingKey.pem | default (get $kept .Values.signingKey.secretKey | b64dec) | default (genPrivateKey "ecdsa") -}}
{{- $_ := set $made .Values.signingKey.secretKey $pem -}}
{{- end -}}
{{- if and .Values.database.url (not .Values.database.existingSecret) -}}
{{- $_ := set $made .Values.database.secretKey .Values.database.url -}}
{{- end -}}
{{- $_ := set .Values "made" $made -}}
{{- end -}}
{{- end }}

{{/* Pods start anew when a secret changes, because they read it when they start. */}}
{{- define "gristmill.secretsDigest" -}}
{{- include "gristmill.prepare" . -}}
{{- $lines := list -}}
{{- range $key, $value := .Values.made -}}
{{- $lines = append $lines (printf "%s=%s" $key (sha256sum $value)) -}}
{{- end -}}
{{- join "\n" $lines | sha256sum | trunc 32 -}}
{{- end }}
