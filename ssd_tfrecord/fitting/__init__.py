"""From a folder of annotated images to a model, its evaluation, exports and a page.

In reading order: session (the program), source_check (what the folder holds), fit_folder (where all
lies), stages (the programs that are run, and which are done), check (what is decided before the
training, and said), weights_choice, choices, recipe_file (the recipe), seen_boxes, anchor_recall,
side_clusters, anchor_fit, anchor_choice (anchors), rehearsal (trial steps), model_page.

session, source_check, fit_folder, stages, weights_choice, choices, recipe_file and model_page are
free of TensorFlow. Imports the rooms below the jobs, and of the jobs training.
"""
