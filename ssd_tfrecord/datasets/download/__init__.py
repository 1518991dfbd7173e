"""Downloads VOC and COCO: verified, resumed where it was broken off, unpacked without trust.

In reading order: session, catalogue (what there is), http_transfer (one file over HTTP),
http_connection, part_file, unpack (one archive), receipt (what a folder already holds), byte_bars.
"""
