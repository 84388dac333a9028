# These need python3 with venv, and nothing else. `make run` works in .venv-run of this checkout, the others in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
RUN_VENV := .venv-run
RUN_BIN := $(RUN_VENV)/bin
# The frames of fer_benchmarks.demo_clip (NASA's public-domain photo of Eileen Collins), encoded with ffmpeg -c:v mpeg4 -q:v 8.
CLIP := docs/clip.mp4
SOURCE := $(CLIP)

.PHONY: run demo web-demo docs test test-newest test-wheel test-system test-compat test-pi test-vm test-home-assistant test-archives soak fuzz bench lint clean

# The base install alone (about 380 MB, no torch), a check of the machine, and the shipped model on a short clip, of which
# an annotated recording is kept; make run SOURCE=0 takes the camera, of which nothing is kept.
run: $(RUN_VENV)/.installed
	-$(RUN_BIN)/fer-doctor  # names what is in the way; the run is tried even so
ifeq ($(SOURCE),$(CLIP))
	mkdir -p build/run
	rm -f build/run/annotated*.mkv
	$(RUN_BIN)/fer-run --source $(CLIP) --realtime --record build/run/annotated.mkv
	@echo "annotated video: build/run/annotated.mkv"
else
	$(RUN_BIN)/fer-run --source "$(SOURCE)"
endif

# The whole road; its up to 5 GB come from torch.
demo: $(INSTALLED)
	mkdir -p demo
	rm -f demo/annotated*.mkv demo/annotated*.png demo/faces.jsonl  # of the last time: fer-run writes over nothing
	$(BIN)/fer-export models/fer-small.pt --out demo/fer-small.onnx
	$(BIN)/fer-export models/fer-small.pt --precision int8 --out demo/fer-small.int8.onnx
	$(BIN)/python -m fer_benchmarks.demo_clip demo/clip.mp4 --picture demo/frame.png
	$(BIN)/fer-run --source demo/clip.mp4 --model demo/fer-small.int8.onnx --headless --record demo/annotated.mkv --jsonl demo/faces.jsonl
	$(BIN)/fer-run --source demo/frame.png --model demo/fer-small.int8.onnx --headless --record demo/annotated.png
	-$(BIN)/fer-bench demo/fer-small.onnx demo/fer-small.int8.onnx --duration 2  # ends with 3 on a noisy machine
	@echo
	@echo "annotated picture: demo/annotated.png"
	@echo "annotated video:   demo/annotated.mkv"

# The page that runs in a browser, in build/site: static files for any host (docs/how-to/browser.md). Built beside its
# place: what was there stays until the new one is whole.
SITE := build/site

web-demo: $(RUN_VENV)/.installed runtime/browser/node_modules/.package-lock.json
	rm -rf $(SITE).new
	cd runtime/browser && FER_SITE_OUT="$(abspath $(SITE).new)" npm run build
	$(RUN_BIN)/python -m fer_runtime.cli.site $(SITE).new
	rm -rf $(SITE)
	mv $(SITE).new $(SITE)
	@echo "the page: $(SITE)"

runtime/browser/node_modules/.package-lock.json: runtime/browser/package-lock.json
	@node -e "const [a, b] = process.versions.node.split('.'); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)" 2>/dev/null \
		&& npm --version >/dev/null 2>&1 || { echo "make web-demo needs Node 20.19 or newer, and npm: https://nodejs.org, or on Debian 13 sudo apt-get install nodejs npm" >&2; exit 1; }
	cd runtime/browser && npm ci
	touch $@

test: lint
	$(BIN)/python -m pytest

# The tests that need programs of the system alone: real servers, full disks, traces. `make test` runs them too, and says
# which it skips where a program is missing; here that is an error.
test-system: $(INSTALLED)
	$(BIN)/python -m pytest -m system

# Memory, descriptors and threads over 200,000 frames, in about six minutes; exit code 3 when one grows.
soak: $(INSTALLED)
	mkdir -p build
	PYTHONPATH=tests $(BIN)/python -m tools.soak --json build/soak.json

# Our files on old and new versions of onnxruntime; DATA=fer2013.zip compares on its faces. Writes docs/gates.md.
test-compat: $(INSTALLED)
	PYTHONPATH=tests $(BIN)/python -m tools.compat $(DATA)

# The runtime on an emulated Raspberry Pi 4 and 5, Debian bookworm and trixie; needs root and an x86-64 Debian.
test-pi: $(INSTALLED)
	PYTHONPATH=tests $(BIN)/python -m tools.pi

# Home Assistant's own MQTT integration, in build/home-assistant (Python 3.11), against mosquitto.
test-home-assistant: $(INSTALLED)
	PYTHONPATH=tests $(BIN)/python -m tools.home_assistant

# Virtual machines that boot Debian with its kernel: cameras of the kernel, systemd, a power cut; needs root, an x86-64
# Debian, and of its packages mmdebstrap, qemu-system-x86 and cpio. WHOLE=1: also what takes long. IMAGE="trixie arm64":
# another release, or an emulated arm64 machine.
IMAGE := bookworm amd64
test-vm: $(INSTALLED)
	PYTHONPATH=tests $(BIN)/python -m tools.vm_image $(IMAGE)
	$(BIN)/python -m pytest -n 2 --durations=0 $(if $(WHOLE),--whole) --image "$(IMAGE)" tests/vm

# Spoiled models, manifests, pictures, requests and broker's packets: our error or a right answer, never a crash.
fuzz: $(INSTALLED)
	PYTHONPATH=tests $(BIN)/python -m tools.fuzz --minutes $(or $(MINUTES),10)

# The published figures anew, in README.md and docs: make bench DATA=fer2013.zip, on a machine with nothing else to do.
# Peers take part where `python3 benchmarks/peers/install.py` has brought them.
BENCH := build/bench
BENCH_FILES := $(foreach size,nano small base,$(BENCH)/fer-$(size).onnx $(BENCH)/fer-$(size).int8.onnx)
PEERS := $(sort $(wildcard benchmarks/peers/.venv/*.json))

bench: $(INSTALLED) $(BENCH_FILES)
	@sleep 90  # until the load that the exports leave behind is past: fer-bench would warn of a busy machine
	$(BIN)/fer-bench $(BENCH_FILES) $(PEERS:%=--peer %) --against cv2 --data $(DATA) --robust --pace 30 --duration 5 \
		--json docs/bench.json --html $(BENCH)/bench.html --png docs/pareto.png
	$(BIN)/python -m fer_benchmarks.report.publish docs/bench.json

$(BENCH)/%.int8.onnx: models/%.pt
	mkdir -p $(BENCH)
	$(BIN)/fer-export $< --precision int8 --data $(DATA) --out $@

$(BENCH)/%.onnx: models/%.pt
	mkdir -p $(BENCH)
	$(BIN)/fer-export $< --out $@

# The docs site in build/docs, strictly: a broken link is an error. Writes docs/reference/commands.md from the commands' help.
docs: $(INSTALLED)
	PYTHONPATH=tests $(BIN)/python -m tools.commands_page
	$(BIN)/mkdocs build --quiet

# The built wheel alone, in an empty environment: what a Raspberry Pi installs.
test-wheel: $(INSTALLED)
	$(BIN)/python -m pytest -n 0 tests/system/test_install.py

# fer-score at length: a thousand clips, a tenth of them broken; and killed a hundred times. About ten minutes.
test-archives: $(INSTALLED)
	PYTHONPATH=tests $(BIN)/python -m tools.archives broken
	PYTHONPATH=tests $(BIN)/python -m tools.archives kills

# The tests on the newest releases of what we build on; leaves them in .venv.
test-newest: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --upgrade onnxruntime onnx onnxscript torch torchvision numpy opencv-python
	$(BIN)/python -m pytest

$(RUN_VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(RUN_VENV)
	$(RUN_BIN)/python -m pip install --quiet --editable .
	touch $@

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[all,dev]'
	touch $@

clean:
	rm -rf $(VENV) $(RUN_VENV) build/run demo dist build/compat build/pi build/docs build/site build/soak.json
