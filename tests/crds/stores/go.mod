// The CRDs of secret stores, as their projects publish them. Nothing is built: they are read out of the modules.
module rancher-access-operator/tests/crds/stores

go 1.26.0

require (
	github.com/bitnami-labs/sealed-secrets v0.40.0
	github.com/external-secrets/external-secrets v1.3.2
	github.com/fluxcd/kustomize-controller v1.9.6
	github.com/hashicorp/vault-secrets-operator v1.5.0
	sigs.k8s.io/secrets-store-csi-driver v1.6.1
)
