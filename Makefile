# The commands of the README. Each installs what it needs on a bare Debian 12; elsewhere it says what is missing.

CARGO  ?= .ci/cargo
PREFIX ?= /usr/local
# Given to `rlvs demo`, e.g. make demo DEMO="--mode dr --keep"
DEMO   ?=

.PHONY: help demo test check bpf install root

help:
	@echo 'make demo     (root)  a lab of five namespaces: client, director, three real servers; NAT, DR and TUN'
	@echo 'make test     (root)  every test; those that need the kernel do not skip'
	@echo 'make check            formatting, clippy, licences, the rules of the house'
	@echo 'make bpf              rebuild the packet programs (needs the BPF toolchain; installs it when root)'
	@echo 'make install          rlvs, ipvsadm, ipvsadm-save, ipvsadm-restore in $$(DESTDIR)$$(PREFIX)/sbin,'
	@echo '                      manual pages and completions in $$(DESTDIR)$$(PREFIX)/share, a unit for systemd'

demo: root
	$(CARGO) run --release --package rlvs -- demo $(DEMO)

# The real keepalived does VRRP beside our daemon; systemd reads our unit; vsftpd and curl speak FTP.
test: root
	command -v keepalived >/dev/null && command -v systemd-analyze >/dev/null || .ci/apt-install keepalived systemd
	command -v vsftpd >/dev/null && command -v curl >/dev/null || .ci/apt-install vsftpd curl
	$(CARGO) test --workspace

check:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- --deny warnings
	$(CARGO) xtask lint
	@if $(CARGO) deny --version >/dev/null 2>&1; then $(CARGO) deny check bans licenses sources; \
	else echo 'cargo-deny is not installed: licences and sources not checked'; fi

bpf:
	.ci/install-bpf-toolchain
	$(CARGO) xtask bpf

# Manual pages and completions are written by the program itself.
install: program = $${CARGO_TARGET_DIR:-target}/release/rlvs
install: share = $(DESTDIR)$(PREFIX)/share
install:
	$(CARGO) build --release --package rlvs
	install -D --mode=755 "$(program)" "$(DESTDIR)$(PREFIX)/sbin/rlvs"
	for name in ipvsadm ipvsadm-save ipvsadm-restore; do \
		ln -sfn rlvs "$(DESTDIR)$(PREFIX)/sbin/$$name"; done
	install -d "$(share)/man/man8" "$(share)/bash-completion/completions" "$(share)/zsh/site-functions" \
		"$(share)/fish/vendor_completions.d"
	"$(program)" man --out "$(share)/man/man8"
	set -e; for name in rlvs ipvsadm; do \
		"$(program)" completions bash --for $$name >"$(share)/bash-completion/completions/$$name"; \
		"$(program)" completions zsh --for $$name >"$(share)/zsh/site-functions/_$$name"; \
		"$(program)" completions fish --for $$name >"$(share)/fish/vendor_completions.d/$$name.fish"; done
	install -d "$(DESTDIR)/etc/systemd/system"
	sed 's|/usr/local/sbin|$(PREFIX)/sbin|' dist/rlvs-daemon.service >"$(DESTDIR)/etc/systemd/system/rlvs-daemon.service"

root:
	@[ "$$(id -u)" = 0 ] || { echo 'this needs root (network namespaces, BPF): sudo make $(MAKECMDGOALS)' >&2; exit 1; }
