"""Data sets that we make or fetch ourselves. Imports nothing of ours but options and errors."""
