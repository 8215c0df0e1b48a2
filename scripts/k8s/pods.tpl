{{range .items}}{{if .status.podIP}}- targets: ["{{.status.podIP}}:5281"]
  labels:
    namespace: {{.metadata.namespace}}
    job: {{.metadata.namespace}}
    pod: {{.metadata.name}}
    component: {{index .metadata.labels "app.kubernetes.io/component"}}
{{end}}{{end}}