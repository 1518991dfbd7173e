"""The parts of an HTML page.

In reading order: page (the whole), page_answer (its top), page_details (its sections), page_parts
(tables, figures, the document), svg_charts, page_look (CSS and script).
"""
