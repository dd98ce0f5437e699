# `make demo` shows it, `make test` proves it, `make build` and `make install` put it in place.

.PHONY: demo test setup fmt build install install-systemd clients

PREFIX ?= /usr/local
DESTDIR ?=
BINARY ?= target/release/storegate

demo: setup
	cargo run -- demo

# All that must pass: formatting, lints, documentation, every test, and that the benches compile, which they do in
# the profile of the tests: an optimised build of all dependencies would prove no more.
test: setup
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items
	cargo test --locked --no-fail-fast
	cargo test --locked --benches --no-run
	cargo clippy --locked --features otlp --lib --bins --test otlp -- -D warnings
	cargo test --locked --features otlp --test otlp --test docs --test schema
	cargo test --locked --features otlp --lib otlp

build: setup
	cargo build --locked --release

# Program, man pages and completions, below $(DESTDIR)$(PREFIX). Builds nothing, so that root need not.
install:
	@test -x $(BINARY) || { echo "$(BINARY) is missing: run make build first" >&2; exit 1; }
	install -D -m 0755 $(BINARY) $(DESTDIR)$(PREFIX)/bin/storegate
	install -d $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/bash-completion/completions \
		$(DESTDIR)$(PREFIX)/share/zsh/site-functions $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
	$(BINARY) man $(DESTDIR)$(PREFIX)/share/man/man1
	$(BINARY) completions bash >$(DESTDIR)$(PREFIX)/share/bash-completion/completions/storegate
	$(BINARY) completions zsh >$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_storegate
	$(BINARY) completions fish >$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/storegate.fish

# The service expects the program in /usr/bin: PREFIX=/usr.
install-systemd:
	install -D -m 0644 packaging/systemd/storegate.service $(DESTDIR)/usr/lib/systemd/system/storegate.service
	install -D -m 0644 packaging/systemd/storegate.socket $(DESTDIR)/usr/lib/systemd/system/storegate.socket
	install -D -m 0644 packaging/systemd/storegate.sysusers $(DESTDIR)/usr/lib/sysusers.d/storegate.conf

# Installs what is missing; does nothing the second time.
setup:
	@scripts/setup

fmt:
	cargo fmt

# The platforms' own client libraries, OpenID libraries and a browser against a running gateway; needs npm, python3 and their registries.
clients: setup
	scripts/clients
	cargo test --locked --test clients --test idp_clients -- --nocapture
