{{- define "gristmill.podTemplate" -}}
{{- include "gristmill.prepare" . -}}
{{- $name := include "gristmill.name" . -}}
{{- $shared := include "gristmill.shared" . -}}
metadata:
  labels:
    {{- include "gristmill.selector" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- if or .Values.made .Values.podAnnotations }}
  annotations:
    {{- if .Values.made }}
    gristmill/secrets: {{ include "gristmill.secretsDigest" . | quote }}
    {{- end }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
spec:
  serviceAccountName: {{ include "gristmill.serviceAccount" . }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- if or .Values.imagePullSecrets .Values.imageCredentials.username }}
  imagePullSecrets:
    {{- range .Values.imagePullSecrets }}
    - name: {{ . }}
    {{- end }}
    {{- if .Values.imageCredentials.username }}
    - name: {{ $name }}-pull
    {{- end }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 10001
    runAsGroup: 10001
    fsGroup: 10001
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile:
      type: RuntimeDefault
  # The drain, what goes before it, and some time to close.
  terminationGracePeriodSeconds: {{ add .Values.drainSeconds (ternary .Values.preStopSeconds 0 (eq $shared "yes")) 15 }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  containers:
    - name: gristmill
      image: {{ include "gristmill.image" . | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities:
          drop: [ALL]
      ports:
        - name: http
          containerPort: 12800
          protocol: TCP
      env:
        {{- include "gristmill.env" . | nindent 8 }}
      # Start-up publishing counts as starting; after it, a pod that does not answer is replaced.
      startupProbe:
        httpGet: {path: /health/ready, port: http, scheme: HTTP}
        periodSeconds: 1
        timeoutSeconds: 2
        failureThreshold: {{ .Values.startupSeconds }}
      readinessProbe:
        httpGet: {path: /health/ready, port: http, scheme: HTTP}
        periodSeconds: 2
        timeoutSeconds: 3
        failureThreshold: 4
      livenessProbe:
        httpGet: {path: /health/live, port: http, scheme: HTTP}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      {{- if and $shared .Values.preStopSeconds }}
      # Balancers learn only after a moment that the pod ends; until then it takes what they send.
      lifecycle:
        preStop:
          {{- if semverCompare ">=1.30-0" .Capabilities.KubeVersion.Version }}
          sleep:
            seconds: {{ .Values.preStopSeconds }}
          {{- else }}
          exec:
            command: [sleep, {{ .Values.preStopSeconds | quote }}]
          {{- end }}
      {{- end }}
      {{- with .Values.resources }}
      resources:
        {{- range $kind, $amounts := . }}
        {{- if $amounts }}
        {{ $kind }}:
          {{- range $what, $amount := $amounts }}
          {{ $what }}: {{ $amount | quote }}
          {{- end }}
        {{- end }}
        {{- end }}
      {{- end }}
      volumeMounts:
        - name: data
          mountPath: /var/lib/gristmill
        - name: tmp
          mountPath: /tmp
        - name: keys
          mountPath: /gristmill/keys
          readOnly: true
        {{- if $shared }}
        - name: blobs
          mountPath: /gristmill/blobs
        {{- end }}
  volumes:
    {{- include "gristmill.volumes" . | nindent 4 }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if $shared }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "gristmill.selector" . | nindent 10 }}
  {{- end }}
{{- end }}

{{- define "gristmill.env" -}}
{{- $name := include "gristmill.name" . -}}
- name: GRISTMILL_ADMIN_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ default $name .Values.admin.existingSecret }}
      key: {{ .Values.admin.secretKey }}
- name: GRISTMILL_SIGNING_KEY
  value: /gristmill/keys/{{ .Values.signingKey.secretKey }}
{{- if include "gristmill.shared" . }}
- name: GRISTMILL_DATABASE
  valueFrom:
    secretKeyRef:
      name: {{ default $name .Values.database.existingSecret }}
      key: {{ .Values.database.secretKey }}
- name: GRISTMILL_BLOBS
  value: /gristmill/blobs
{{- end }}
- name: GRISTMILL_DRAIN_SECONDS
  value: {{ .Values.drainSeconds | quote }}
{{- range $flag, $value := .Values.settings }}
- name: GRISTMILL_{{ $flag | upper | replace "-" "_" }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- with .Values.env }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "gristmill.volumes" -}}
{{- $name := include "gristmill.name" . -}}
- name: tmp
  emptyDir:
    sizeLimit: {{ .Values.scratch.size }}
- name: keys
  secret:
    secretName: {{ default $name .Values.signingKey.existingSecret }}
    defaultMode: 0440
    optional: false # the default, which `podman kube play` does not know
    items:
      - key: {{ .Values.signingKey.secretKey }}
        path: {{ .Values.signingKey.secretKey }}
{{- if include "gristmill.shared" . }}
- name: data
  emptyDir:
    sizeLimit: {{ .Values.scratch.size }}
- name: blobs
  persistentVolumeClaim:
    claimName: {{ default (printf "%s-blobs" $name) .Values.blobs.existingClaim }}
{{- else if not .Values.persistence.enabled }}
- name: data
  emptyDir: {}
{{- else if .Values.persistence.existingClaim }}
- name: data
  persistentVolumeClaim:
    claimName: {{ .Values.persistence.existingClaim }}
{{- end }}
{{- end }}

{{- define "gristmill.claimSpec" -}}
accessModes: [{{ .accessMode }}]
{{- with .storageClass }}
storageClassName: {{ . }}
{{- end }}
resources:
  requests:
    storage: {{ .size | quote }}
{{- end }}
