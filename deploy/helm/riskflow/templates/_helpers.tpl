{{/* `riskflow` for a release of that name, as the alerts and the dashboard expect; else with the release's name before it. */}}
{{- define "riskflow.name" -}}
{{- if contains "riskflow" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-riskflow" .Release.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "riskflow.selector" -}}
app.kubernetes.io/name: riskflow
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "riskflow.labels" -}}
{{ include "riskflow.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
{{- end }}

{{/* Where each process listens for the others: {} is its number. $(NAMESPACE) is filled in by the kubelet. */}}
{{- define "riskflow.hosts" -}}
{{- $name := include "riskflow.name" . -}}
{{- printf "%s-{}.%s-peers.$(NAMESPACE).svc.%s:2101" $name $name .Values.clusterDomain -}}
{{- end }}

{{/* Names by which it may be asked for: those of its services, with commas between them. */}}
{{- define "riskflow.names" -}}
{{- $names := list -}}
{{- $name := include "riskflow.name" . -}}
{{- range $ending := list "" ".$(NAMESPACE)" ".$(NAMESPACE).svc" (printf ".$(NAMESPACE).svc.%s" .Values.clusterDomain) -}}
{{- $names = append $names (printf "%s%s" $name $ending) -}}
{{- range $process := until (int $.Values.replicas) -}}
{{- $names = append $names (printf "%s-%d.%s-peers%s" $name $process $name $ending) -}}
{{- end -}}
{{- end -}}
{{- join "," (concat $names .Values.http.hosts) -}}
{{- end }}
