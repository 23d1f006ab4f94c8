# Two verbs are the set-up: `make simulate` and `make test`. The environment is made when it is missing.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SAMPLE := $(firstword $(wildcard ../shared/data))
export FEDCXR_SAMPLE_DATA ?= $(abspath $(SAMPLE))
export FLWR_TELEMETRY_ENABLED := 0
export RAY_USAGE_STATS_ENABLED := 0

.PHONY: help env simulate test test-slow check format docs deploy-smoke check-deploy check-wheel bench bench-peers bench-data verify-bench verify-deploy verify-long verify-stats verify-quickstart verify-audit verify-data verify-algorithms verify-losses verify-attacks verify-deployed-privacy clean

help:  ## Show the verbs
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 22

env: $(STAMP)  ## Make the environment from pinned versions

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $(STAMP)

simulate: env  ## Run a federation of 5 simulated hospitals on synthetic data
	$(BIN)/fedcxr simulate --clients 5

# A thread of PyTorch that waits for others sleeps: spinning takes the core of the tests beside it.
test test-slow: export OMP_WAIT_POLICY := PASSIVE
BY_FILES := --dist loadfile --no-loadscope-reorder

test: env  ## Run the tests that take moments
	$(BIN)/python -m pytest -q -n 2 $(BY_FILES) -m "not slow and not alone"

test-slow: env  ## Run those that take longer: whole runs, killed and resumed; then those that measure
	$(BIN)/python -m pytest -q -n 3 $(BY_FILES) -m "slow and not alone and not long" --durations=40
	$(BIN)/python -m pytest -q -m alone

check: env  ## Lint, types, import contract
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: env  ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: env  ## Build the documentation as a site in build/docs; a warning is an error
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs build/docs

check-wheel: env  ## Build the wheel and run it from an unrelated folder
	rm -rf build/wheel
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps -w build/wheel .
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target build/wheel/site build/wheel/*.whl
	cd / && PYTHONPATH=$(CURDIR)/build/wheel/site $(abspath $(BIN))/python -P -m fedcxr simulate --quiet \
		--clients 3 --rounds 1 --local-epochs 1 --image-size 32 --runs-dir $(CURDIR)/build/wheel/runs \
		--set data.synthetic.patients=90 --set data.synthetic.size_px=48

deploy-smoke: env  ## A server and three clients as real processes on loopback, and a server that dies
	$(BIN)/python tests/deploy_smoke.py
	$(BIN)/fedcxr chaos --trials 1 --seed 5

check-deploy: env  ## A deployment's memory and a round's cost, so short that every change is checked
	$(BIN)/python -m benchmarks.check_deployment

bench-peers:  ## Make the environments of the frameworks that fedcxr is measured against
	for peer in flower nvflare pfl; do PYTHON=$(PYTHON) bash benchmarks/vs/$$peer/setup.sh || true; done

bench: env bench-peers  ## Every benchmark in its short form; writes docs/benchmarks.md
	$(BIN)/python -m benchmarks.run_all --short

verify-bench: env bench-peers  ## Every benchmark whole, against its goals: about 3 hours
	$(BIN)/python -m benchmarks.run_all

bench-data: env  ## Tables, partitions, cache and batches at CheXpert's size, against their goals
	$(BIN)/python -m benchmarks.run_all --only data

verify-data: env  ## check-data, partition, prepare and a by-source federation, run whole
	$(BIN)/python -m benchmarks.verify_data

verify-deploy: env  ## A deployment's soak of 150 rounds, and what a site costs its server: most of an hour
	$(BIN)/python -m benchmarks.run_all --only deployment_soak supernodes

verify-stats: env  ## The statistics' self-test whole, into the package and docs/statistics.md: up to an hour
	$(BIN)/fedcxr selftest stats --out fedcxr/metrics/self_test.json --page docs/statistics.md

verify-audit: env  ## DP-SGD's step audited with canaries, as it is and broken on purpose: one to two minutes
	$(BIN)/fedcxr audit dp --all

verify-long: env  ## Slow tests that CI leaves out: more names, algorithms and engines, a real compiler
	$(BIN)/python -m pytest -q -m long

verify-quickstart: env  ## The quickstart from nothing: time, AUROC, hit rate
	$(BIN)/python -m benchmarks.run_all --only quickstart

DESCENT := train.optimizer=sgd,train.momentum=0,train.learning_rate=0.5
SKEWED := --clients 10 --scheme dirichlet --alpha 0.1 --image-size 32 --rounds 8 --batch-size 16 --seeds 3 --arms federated

verify-algorithms: env  ## Every algorithm on sites with skewed labels, beside FedAvg: a quarter of an hour
	$(BIN)/fedcxr compare $(SKEWED) --name algorithms \
		$(foreach name,fedprox fedavgm fedadagrad fedadam fedyogi fedbn,--arm $(name)=algorithm.name=$(name)) \
		--arm fedavg-sgd=$(DESCENT) --arm scaffold=algorithm.name=scaffold,$(DESCENT)

verify-losses: env  ## Every loss on sites with skewed labels, beside cross-entropy: ten minutes
	$(BIN)/fedcxr compare $(SKEWED) --name losses \
		$(foreach name,weighted_bce pos_weighted_bce focal asymmetric,--arm $(name)=train.loss=$(name)) \
		--arm weighted-shared=train.loss=weighted_bce,train.class_frequencies=shared

verify-attacks: env  ## Attacks on an over-fitted run, a private one, VAEs, and updates: half an hour
	$(BIN)/python -m benchmarks.attacks
	$(BIN)/python -m benchmarks.attacks_vae
	$(BIN)/python -m benchmarks.inversion --short

verify-deployed-privacy: env  ## DP-SGD, client-level DP and secure aggregation over real processes: 2 minutes
	$(BIN)/python -m pytest -q tests/test_deployed_privacy_end_to_end.py

clean:  ## Remove the environment and caches of tools
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
