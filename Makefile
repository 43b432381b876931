# The two commands of README.md, and what CI calls. Everything is installed into .venv; nothing outside it is touched.
PYTHON ?= $(shell python3.11 --version >/dev/null 2>&1 && echo python3.11 || echo python3)
VENV := .venv
RUN := $(VENV)/bin/python

.PHONY: demo test test-slow test-all check test-browser test-image test-py38 bench fuzz chaos readme clean

demo: $(VENV)/ready
	$(RUN) -m ymir_detectron2.tools.demo --out demo

# all tests but those marked slow (several machines, restarts, compilers), which CI runs as well
test: check
	$(RUN) -m pytest -n 2 --dist loadfile -m "not slow"

test-slow: $(VENV)/ready
	$(RUN) -m pytest -n 2 --dist loadfile -m slow

test-all: test test-slow

check: $(VENV)/ready
	$(RUN) -m ruff check .
	$(RUN) -m mypy
	$(VENV)/bin/hadolint Dockerfile

# the tests of the pages in a headless browser, which `make test` skips where there is none; as root, Debian's is installed
test-browser: $(VENV)/ready
	tests/browser/install
	YMIR_REQUIRE_BROWSER=1 $(RUN) -m pytest tests/browser

# both flavours; needs root where no Docker engine runs yet: it then installs Debian's and starts it
test-image: $(VENV)/ready
	docker/test-image $(RUN)

# all tests with the pins of the CUDA 11.1 image; a Python 3.8 is searched for, or named: PYTHON38=/path/to/python3.8
test-py38: .venv38/ready
	.venv38/bin/python -m pytest -n 2 --dist loadfile

# writes docs/benchmarks.md, on a machine that does nothing else; QUICK=1: toy sizes, writes nothing
BENCHMARKS := dataset_conversion inference_speed where_time_goes mining_speed candidates_memory training_speed
bench: $(VENV)/ready
	set -e; for name in $(BENCHMARKS); do $(RUN) -m benchmarks.$$name $(if $(QUICK),--quick); done

# random files for every reader of what others wrote; crashes, hangs and unexpected errors count (docs/security.md)
MINUTES ?= 10
fuzz: $(VENV)/ready
	$(RUN) -m fuzz --minutes $(MINUTES)

# whole tasks under faults: kills, stops, full and broken disks, power cuts, too little memory; one case: chaos --seed N
chaos: $(VENV)/ready
	$(RUN) -m chaos --minutes $(MINUTES)

# what is made from the settings in config/: the tables of both READMEs and the templates of the web form
readme: $(VENV)/ready
	$(RUN) -m ymir_detectron2.tools.readme_tables README.md README.zh-CN.md
	$(RUN) -m ymir_detectron2.tools.form_templates .

# torch and torchvision come from the package index as a pair; together they are 5.5 GB
$(VENV)/ready: requirements/current.txt requirements/dev.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements/current.txt -r requirements/dev.txt
	touch $@

.venv38/ready: requirements/test-py38.txt requirements/py38.txt
	python38=$$(tests/find-python3.8) && "$$python38" -m venv .venv38
	.venv38/bin/python -m pip install --quiet --disable-pip-version-check -r requirements/test-py38.txt
	touch $@

clean:
	rm -rf $(VENV) .venv38 demo chaos-work .pytest_cache .mypy_cache .ruff_cache
