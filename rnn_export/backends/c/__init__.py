"""A Program as plain C: no dependencies, no allocation, any number of rows and time steps.

``trace`` finds what a row computes at a time step, ``plan`` decides what runs when and where it is kept, and
``write`` writes it down.
"""
