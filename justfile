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

# Fuzz one target, guided by coverage, for two minutes: `just fuzz answers`; wants nightly Rust and `cargo install cargo-fuzz`
fuzz TARGET SECONDS="120":
    mkdir -p "${CARGO_TARGET_DIR:-target}/fuzz-corpus-{{ TARGET }}"
    cargo +nightly fuzz run --sanitizer none {{ TARGET }} "${CARGO_TARGET_DIR:-target}/fuzz-corpus-{{ TARGET }}" fuzz/corpus/{{ TARGET }} -- -max_total_time={{ SECONDS }} -max_len=65536 -timeout=10

# Random faults in random scenarios: `just fuzz-faults 10000 7` plays ten thousand plans from seed 7
fuzz-faults COUNT="1000" SEED="1":
    cargo test --test faults -- --fuzz {{ COUNT }} --seed {{ SEED }}

# Ninety virtual days of grants that come and go, and of keys that are replaced; takes ten minutes
soak DAYS="90":
    SOAK_DAYS={{ DAYS }} cargo test --test lives soak

# Whether the harness can fail: every known way to break the operator, and what catches it
mutants *NAMES:
    tests/faults/mutants.sh {{ NAMES }}

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
