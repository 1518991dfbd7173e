"""From a trained model to files that other programs run.

In reading order: session (the program), exportable (the model as exports take it), check_set
(images to check on), exported_file (what each format returns), export_formats (which there are),
bench (where exported files run), parity (a file against the Detector), export_folder (what lies in
a folder of exports), owned_names (which of it is export's), stored_checks (what --verify needs),
export_table, recheck (--verify), suppression_graph (suppression without XLA), torchvision_state (a
state dict). The other formats are rooms: saved_model, tflite, onnx. Imports detection, evaluation,
runs and what lies below.
"""
