"""The files that YMIR passes to an executor and reads back, for every release from 1.1.0 to 2.5.0.

Imports neither torch nor NumPy, so that a failure to import them can be reported.
"""
