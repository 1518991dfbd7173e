# PYTHON and VENV choose another interpreter and folder: make test PYTHON=python3.12 VENV=.venv312
PYTHON ?= python3
VENV ?= .venv
RUN := $(VENV)/bin/python

.PHONY: venv test soak check demo clean
.NOTPARALLEL:

venv: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --upgrade pip
	$(RUN) -m pip install --quiet --editable '.[dev]'
	touch $@

test: venv
	$(RUN) -m pytest --numprocesses=logical --maxprocesses=4 --dist=worksteal $(PYTEST_FLAGS)

# What test leaves out: many repetitions, real networks, a fresh installation. An hour and more.
soak: venv
	$(RUN) -m pytest -m soak $(PYTEST_FLAGS)
	SSD_TFRECORD_FUZZ_CASES=5000 $(RUN) -m pytest tests/records/sources/test_mutations.py

check: venv
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(RUN) -m pytest -q tests/test_layout.py

# Everything below demo/: what is there already is not made again, and training goes on.
demo: venv demo/records/train/manifest.json demo/records/test/manifest.json
	$(RUN) -m ssd_tfrecord.train --flagfile=configs/demo.flags --run_dir=demo/run \
	    --train_records=demo/records/train --eval_records=demo/records/test
	$(RUN) -m ssd_tfrecord.evaluate --run_dir=demo/run --records=demo/records/test
	@echo "curves: demo/run/curves.png; more: $(VENV)/bin/tensorboard --logdir demo/run"

.SECONDARY:  # else make would remove the ImageSets it went through

demo/records/%/manifest.json: demo/VOCdevkit/VOCdemo/ImageSets/Main/%.txt
	$(RUN) tools/create_voc_tfrecords.py --voc_root=demo/VOCdevkit --sets=demo_$* \
	    --classes=auto --num_shards=4 --output_dir=demo/records/$*

demo/VOCdevkit/VOCdemo/ImageSets/Main/%.txt: | venv
	test -e $@ || $(RUN) tools/create_demo_dataset.py --output_dir=demo/VOCdevkit

clean:
	rm -rf $(VENV) demo .pytest_cache .ruff_cache *.egg-info
