# Two commands on a fresh machine with Python >= 3.11: `make demo` and `make test`.
# Each sets up .venv first; that is quick when nothing has changed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.set-up

# Behind a company's own CA, the system's store knows it.
export UV_SYSTEM_CERTS := 1

.PHONY: setup demo test test-whole test-browser test-long reliability fuzz check reference catalogue try bench bench-check capacity soak ci lock release-check clean

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "alikassa needs Python 3.11 or newer; name one with: make PYTHON=python3.12" >&2; exit 1; }
	@test -x $(BIN)/python || { echo "Making $(VENV) ..." >&2; $(PYTHON) -m venv $(VENV); }
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@echo "Installing the locked packages into $(VENV) ..." >&2
	@$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup
	@$(BIN)/alikassa demo

# The documentation's blocks, programs in other languages, the demo, nginx and systemd, the operator's document, kills,
# attacks on the cabinet, metrics of workers that are killed, HTTP/2, books that are spread over nodes, backups, forged
# books, the monitor.
WHOLE := $(addprefix tests/,test_readme.py test_docs.py test_docs_books.py test_client_docs.py test_sandbox_docs.py \
	test_examples.py test_cli_serve.py test_operator_document.py test_nginx.py test_limits_redis.py test_systemd.py \
	test_release.py test_crash.py test_crash_postgresql.py test_replicas.py test_metrics_server.py test_cabinet_login.py \
	test_cabinet_attacks.py test_cabinet_walk.py test_observed.py \
	test_degraded.py test_open_loop.py test_operator_bounds.py test_statistics.py test_waiting.py \
	test_http2_and_http1.py test_distribution.py test_distribution_questions.py test_distribution_rights.py \
	test_garbage.py test_watch.py test_monitor_web.py test_operator_process.py test_operator_asgi.py \
	test_connections_bounded.py test_reader_patience.py test_writer_patience.py test_limits_server.py test_replica_parts.py \
	test_traces_server.py test_slow_queries.py test_fuzz_finds.py test_two_processes.py test_sandbox_command.py \
	test_cli_books.py test_monitor.py test_cli_profile.py test_cli_commands_refusals.py test_backup.py \
	test_verify_tampering.py test_verify_forging.py test_postgresql_plans.py test_keys_kms.py)

test: setup
	@$(BIN)/pytest -n 3 --ignore tests/browser --ignore tests/long $(addprefix --ignore ,$(WHOLE))

test-whole: setup
	@$(BIN)/pytest -n 3 $(WHOLE)

# The cabinet in Debian's Chromium. Screenshots go to build/screens.
test-browser: setup
	@test -e $(VENV)/browser/node_modules/axe-core || npm install --silent --no-audit --no-fund --no-save --no-package-lock --prefix $(VENV)/browser axe-core@4
	@$(BIN)/pytest -n 2 tests/browser

# Hundreds of kills, standbys that take over, twenty times as many random commands; a hundred thousand bad requests,
# crowds of slow ones, three times as many as can be answered, every fault of the database on both engines, thousands by
# the operator's document, and what the clock tells a stranger.
test-long: setup
	@ALIKASSA_LONG=1 $(BIN)/pytest tests/test_crash.py tests/test_crash_postgresql.py tests/test_standby.py tests/test_books_stateful.py tests/test_operator_document.py tests/long

# Random inputs, guided by what of the code they reach, for the parsers of what comes from outside: FUZZ_SECONDS (60) each.
# FUZZ="sign body" names some. Python 3.11 to 3.13 on Linux.
fuzz: setup
	@test -d $(VENV)/fuzz/atheris || $(BIN)/uv pip install --quiet --python $(BIN)/python --target $(VENV)/fuzz --require-hashes -r tests/fuzz/requirements.txt
	@PYTHONPATH=tests:$(VENV)/fuzz nice -n 10 $(BIN)/python -m fuzz.run

# Tries every fault of the database on both engines, and writes what came of it to docs/reliability.md.
reliability: setup
	@rm -rf build/reliability
	@ALIKASSA_LONG=1 ALIKASSA_RELIABILITY=$(CURDIR)/build/reliability $(BIN)/pytest tests/long/test_faults.py
	@$(BIN)/python tools/reliability.py build/reliability

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry src

# Installs the built wheel into an empty environment and follows README's quick start from there.
try: setup
	@$(BIN)/python tools/try_wheel.py

# The wheel twice over, the changelog, advisories, a bill of materials. ALIKASSA_OFFLINE=1 goes on without advisories.
release-check: setup
	@$(BIN)/python tools/release_check.py

# Writes docs/cli.md anew from the commands.
reference: setup
	@$(BIN)/python tools/cli_reference.py

# Adds new words of the cabinet to its Russian catalogue, and says which lack a translation.
catalogue: setup
	@$(BIN)/python tools/catalogue.py

# Measures everything and writes bench/RESULTS.md and bench/results.json.
bench: setup
	@$(BIN)/python bench/run.py

# Writes what was measured into docs/scaling.md.
capacity: setup
	@$(BIN)/python bench/capacity.py --write

# Measures again, and fails when a ratio is more than 15 % worse than the committed one.
bench-check: setup
	@$(BIN)/python bench/check.py

# Ten minutes of mixed load on each engine: nothing may grow, nothing may be lost. SOAK_SECONDS=60 for less.
soak: setup
	@$(BIN)/python bench/soak.py --engine sqlite --seconds $(or $(SOAK_SECONDS),600)
	@$(BIN)/python bench/soak.py --engine postgresql --seconds $(or $(SOAK_SECONDS),600)

ci:
	@bash .ci/run

# Writes the hashed lock anew from pyproject.toml. --upgrade takes newer versions.
lock:
	@test -x $(BIN)/uv || { $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet uv; }
	@$(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --all-extras --group dev \
		--generate-hashes --no-emit-index-url --no-annotate --custom-compile-command "make lock" $(LOCK_FLAGS) --output-file requirements.lock

clean:
	rm -rf $(VENV)
