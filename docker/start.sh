#!/usr/bin/env bash
# What YMIR runs. exec: signals of `docker stop` reach Python itself.
exec python /app/start.py
