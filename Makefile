# Two commands do everything: `make demo` shows it, `make test` proves it.

.PHONY: demo test setup fmt clients

demo: setup
	cargo run -- demo

# All that must pass: formatting, lints, documentation, every test, and that the benches compile.
test: setup
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items
	cargo test --locked
	cargo bench --locked --no-run

# Installs what is missing; does nothing the second time.
setup:
	@scripts/setup

fmt:
	cargo fmt

# The platforms' own client libraries, OpenID libraries and a browser against a running gateway; needs npm, python3 and their registries.
clients: setup
	scripts/clients
	cargo test --locked --test clients --test idp_clients -- --nocapture
