"""Reads a bundle that anybody may have written: nothing is used before it was checked.

``files``: which files there are, and their bytes once the hash matched. ``json_text``: JSON. ``schema`` and
``signature``: what a manifest and an index of golden vectors may say. ``protobuf``, ``archive`` and
``exported``: what lies in an ONNX file, a ``.pt`` and a ``.pt2``, found without the libraries that run them.

Who can rewrite the manifest can rewrite the hashes: they say that a copy is whole, not who made it. And a
correct ``.pt``, ``.pt2`` or ``.c`` is a program. Somebody who writes to the folder while it is read may get
it refused, but cannot get other bytes in: what is parsed are the very bytes that were hashed.
"""
