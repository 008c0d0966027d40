"""Reading a bundle that anybody may have written: nothing is believed that was not looked at.

``files``: which files there are, and their bytes once the hash matched. ``text``: JSON. ``schema`` and
``call``: what a manifest and an index of golden vectors may say. ``protobuf`` and ``archive``: what lies in
an ONNX file and in a ``.pt``, found without the libraries that run them.

Who can rewrite the manifest can rewrite the hashes: they say that a copy is whole, not who made it. And a
right ``.pt`` or ``.c`` is a program. Somebody who writes to the folder while it is read may get it refused,
but cannot get other bytes in: what is parsed are the very bytes that were hashed.
"""
