"""The report a person looks at: ``report.html``, one file that loads nothing.

``graph`` reads the graph of an ONNX file, ``layout`` says where its boxes go, ``picture`` draws it;
``charts`` places numbers, ``calls`` writes programs to copy, ``unchecked`` says what is not known; ``page``
writes it all down; ``latency`` times a bundle, and puts a new page into it.
"""
