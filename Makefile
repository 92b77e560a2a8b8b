# Two commands: `make demo` runs the main job on practice videos, `make test` proves the house.
# Both set everything up on a machine that has Python 3.11, git, make and the package registries.
PYTHON ?= python3.11
UV_VERSION := 0.13.9
BIN := .venv/bin

.PHONY: demo test setup browser page lock format gallery clean

demo: setup
	$(BIN)/dreamreel demo out/demo

test: setup browser
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -m "not weights and not gpu" $(PYTEST)

setup: .venv/ready

# uv lives inside the environment, so nothing is needed from the machine but Python.
.venv/ready: requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv || python3 -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(BIN)/uv pip sync --quiet --python $(BIN)/python requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $@

# The page's tests drive a chromium. Where there is none and this may install it, it does; else they say why they skip.
browser:
	@test -n "$$DREAMREEL_CHROMIUM" || command -v chromium >/dev/null || command -v google-chrome >/dev/null \
		|| { apt-get update -qq && apt-get install -qq --yes --no-install-recommends chromium; } \
		|| echo "no chromium could be installed"

# The curation page anew, from curation_ui/web into curation_ui/static; needs Node.
page: setup
	$(BIN)/python -m curation_ui.typescript
	npm ci --prefix curation_ui/web
	npm run build --prefix curation_ui/web

# Exact versions of everything, with no index host named.
lock:
	$(BIN)/uv pip compile --quiet --python-version 3.11 --universal --group dev --no-emit-index-url --no-annotate \
		--no-header pyproject.toml --output-file requirements.lock

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The pictures of docs/, drawn from the practice world.
gallery: setup
	rm -rf out/gallery
	$(BIN)/dreamreel demo out/gallery
	$(BIN)/dreamreel shards show out/gallery/dataset --samples 5 --out out/gallery/looks
	$(BIN)/dreamreel shards show out/gallery/dataset 2 --out out/gallery/one
	cp out/gallery/looks/dataset-samples.png docs/samples.png
	cp out/gallery/one/*.png docs/sample.png
	cp out/gallery/generated-boxes.gif docs/generated.gif
	cp out/gallery/looks/rejections.png out/gallery/looks/motion.png docs/
	$(BIN)/python -m pipeline.embedded.world docs/world.png
	$(BIN)/dreamreel refilter out/gallery/dataset out/gallery/other --set rules.border.max=0.1
	$(BIN)/python -m tests.curation_ui.browser.gallery out/gallery/dataset out/gallery/other docs

clean:
	rm -rf .venv out
