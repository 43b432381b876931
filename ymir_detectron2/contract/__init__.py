"""The files that YMIR hands to an executor and reads back, every release from 1.1.0 to 2.5.0. Knows no torch."""
