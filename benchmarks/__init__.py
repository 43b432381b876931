"""Measurements side by side in one run: what this project promises against what a user would pick instead."""
