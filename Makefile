# Each command makes .venv and installs requirements.txt if that hasn't been done.
#   make PYTHON=/path/to/python ...        use this interpreter, which has everything, and make no .venv
#   make BASE_PYTHON=python3.12 ...        make .venv with this Python (3.10 or newer)

BASE_PYTHON ?= python3
ifeq ($(strip $(PYTHON)),)
run   := .venv/bin/python
ready := .venv/ready
else
run   := $(PYTHON)
ready :=
endif

.PHONY: help check progress explore lab doctor notebooks compare bench test setup clean
.DEFAULT_GOAL := help

help:
	@echo 'make check-lesson1   check lesson 1: what it ships and your own exercise (any lesson: check-lessonN)'
	@echo 'make check           check every lesson'
	@echo 'make watch-lesson1   check your files of lesson 1 again at each save (any lesson: watch-lessonN)'
	@echo 'make hint-lesson1    the next hint for lesson 1 (any lesson: hint-lessonN)'
	@echo 'make reset-lesson1   put the exercises of lesson 1 back; yours are kept (any lesson: reset-lessonN)'
	@echo 'make progress        how far you have come in each lesson, and your best times'
	@echo 'make report-lesson1  a page about lesson 1 and your files, for a browser (any: report-lessonN)'
	@echo 'make explore         the tile explorer, a page: attention in three versions, step by step'
	@echo 'make lab             JupyterLab, at your lesson (on a server: make lab ARGS=--no-browser)'
	@echo 'make doctor          what this machine can do, and the command that mends what it cannot'
	@echo 'make compare         attention on your shapes: make compare ARGS="--preset llama3-8b --causal"'
	@echo 'make profile-lesson1 where the kernels of lesson 1 spend their time (any lesson: profile-lessonN)'
	@echo 'make bench           measure everything on this GPU, and make tables and plots (ARGS=--tables)'
	@echo 'make notebooks       run every notebook.py and write its notebook.ipynb (one: ARGS=1)'
	@echo 'make test            the test suite (some of it: make test ARGS="-k ptx")'
	@echo 'make setup           make .venv and install what is needed; every other command does so by itself'
	@echo 'make clean           remove .venv and caches'

check-lesson%: $(ready)
	@$(run) -m workbench check $* $(ARGS)

check: $(ready)
	@$(run) -m workbench check all $(ARGS)

watch-lesson%: $(ready)
	@$(run) -m workbench watch $*

hint-lesson%: $(ready)
	@$(run) -m workbench hint $*

reset-lesson%: $(ready)
	@$(run) -m workbench reset $*

progress: $(ready)
	@$(run) -m workbench progress

report-lesson%: $(ready)
	@$(run) -m workbench report $*

explore: $(ready)
	@$(run) -m workbench explore

lab: $(ready)
	@$(run) -m workbench lab $(ARGS)

doctor: $(ready)
	@$(run) -m workbench doctor

notebooks: $(ready)
	@$(run) -m workbench notebooks $(ARGS)

compare: $(ready)
	@$(run) -m workbench compare $(ARGS)

profile-lesson%: $(ready)
	@$(run) -m workbench profile $* $(ARGS)

bench: $(ready)
	@$(run) -m workbench bench $(ARGS)

# In two processes, where pytest-xdist is installed.
test: $(ready)
	@$(run) -c 'import xdist' 2>/dev/null && two='-n 2 --dist worksteal' || two=; $(run) -m pytest $$two $(ARGS)

setup: $(ready)
	@echo 'Ready: $(run) has what the course needs. `make doctor` tries it.'

clean:
	rm -rf .venv .cache .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

# Runs when requirements.txt is newer than the last install, or when .venv's interpreter has gone.
.venv/ready: requirements.txt workbench/bootstrap.py .venv/bin/python
	@command -v $(BASE_PYTHON) >/dev/null || { echo 'There is no $(BASE_PYTHON) here: install Python 3.10 or newer, or name yours:  make BASE_PYTHON=/path/to/python3'; exit 2; }
	@$(BASE_PYTHON) workbench/bootstrap.py

.venv/bin/python: ;
