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

# Everything below demo/: what is there already is not made again, and training goes on. Without
# --eval_records, as the evaluation for the report would do that of the last step over again; and on
# one GPU at most, if nothing else is asked for, as batches are small.
DEMO := demo/run/evaluations/test

demo: $(DEMO)/report.html | venv
	@echo
	@echo "Learned: to find six kinds of objects in drawn scenes, with a VOC07 mAP of" \
	    "$$(sed -n 's/^ "voc07_map": \([0-9.]\{1,5\}\).*/\1/p' $(DEMO)/metrics.json)" \
	    "on 200 that it was not trained on (1 would be without fault)"
	@echo "Page with pictures: $(DEMO)/report.html"
	@echo "Your own folder:    $(VENV)/bin/ssd-tfrecord fit FOLDER --output_dir=mymodel"

$(DEMO)/report.html: demo/records/train/manifest.json demo/records/test/manifest.json | venv
	@CUDA_VISIBLE_DEVICES=$${CUDA_VISIBLE_DEVICES-0} $(RUN) -m ssd_tfrecord.train \
	    --flagfile=configs/demo.flags --run_dir=demo/run --train_records=demo/records/train
	@$(RUN) -m ssd_tfrecord.evaluate --run_dir=demo/run --records=demo/records/test --loss=false

.SECONDARY:  # else make would remove the ImageSets it went through
.DELETE_ON_ERROR:  # else a page whose pictures could not be written would count as done

demo/records/%/manifest.json: demo/VOCdevkit/VOCdemo/ImageSets/Main/%.txt
	@$(RUN) tools/create_voc_tfrecords.py --voc_root=demo/VOCdevkit --sets=demo_$* \
	    --classes=auto --num_shards=4 --output_dir=demo/records/$*

demo/VOCdevkit/VOCdemo/ImageSets/Main/%.txt: | venv
	@test -e $@ || $(RUN) tools/create_demo_dataset.py --output_dir=demo/VOCdevkit

clean:
	rm -rf $(VENV) demo .pytest_cache .ruff_cache *.egg-info
