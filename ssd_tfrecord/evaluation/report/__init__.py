"""An evaluation as people read it: charts, pictures, tables and one HTML page.

May import what evaluation may.
"""
