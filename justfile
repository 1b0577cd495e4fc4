# What one types here. `just` alone lists it; CI runs `.ci/run`.

[private]
default:
    @just --list --unsorted

# The whole life of a grant in half a minute, in one process: no cluster, no Rancher
demo:
    cargo run --example demo

# A real API server, a Rancher simulator and the operator, until Ctrl-C; prints what to try
sandbox:
    cargo run --example sandbox

# The operator against the cluster of your kubeconfig: `just run --log-level debug`
run *ARGS:
    cargo run -- run --log-format text --health-addr 127.0.0.1:8080 {{ ARGS }}

# All tests; the first time it builds a control plane from Go modules, which takes minutes
test *ARGS:
    cargo test --workspace {{ ARGS }}

# Format, lints and dependencies: what can be said without running anything
check: fmt-check clippy deny

# Put everything into form
fmt:
    cargo fmt --all

[private]
fmt-check:
    cargo fmt --all -- --check -l

[private]
clippy:
    cargo clippy --workspace --all-targets -- -D warnings

[private]
deny:
    cargo deny check bans licenses sources

# Write the CustomResourceDefinitions from src/api into crds/
crds:
    cargo run -- crds --dir crds

# Before a review: everything that CI does
reviewable: crds fmt
    .ci/run
