# Two flavours from one file; the defaults are `cu111`, for GPUs from Pascal to Ampere:
#   docker build -t ymir-detectron2:cu111 .
#   docker build -t ymir-detectron2:current --build-arg BASE=debian:bookworm-slim --build-arg FLAVOUR=current .
ARG BASE=nvidia/cuda:11.1.1-cudnn8-runtime-ubuntu20.04

# --- Python packages, in a virtual environment that is copied as a whole; pip itself is not in the final image
FROM ${BASE} AS packages
ARG FLAVOUR=cu111
# No versions here: Debian and Ubuntu keep only the latest of a package.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-venv && rm -rf /var/lib/apt/lists/*
COPY requirements/${FLAVOUR}.txt /requirements.txt
# --no-cache-dir as a variable: ensurepip reads it too.
# hadolint ignore=DL3042
RUN export PIP_NO_CACHE_DIR=1 && python3 -m venv /opt/venv && /opt/venv/bin/python -m pip install -r /requirements.txt \
    && /opt/venv/bin/python -m pip freeze > /opt/venv/sbom.txt \
    && /opt/venv/bin/python -m pip uninstall -y pip

# --- published weights, so that a host without internet can start from them; WEIGHTS=none leaves them out on purpose
FROM packages AS weights
ARG WEIGHTS=all
COPY ymir_detectron2 /app/ymir_detectron2
WORKDIR /app
RUN mkdir /weights && /opt/venv/bin/python -m ymir_detectron2.tools.fetch_weights --into /weights "${WEIGHTS}"

# --- the product
FROM ${BASE}
# The font draws Chinese class names in the plots of an evaluation.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends python3 fonts-wqy-microhei \
    && rm -rf /var/lib/apt/lists/*

# Any uid, no passwd entry, read-only root: caches go to /tmp, and getpass finds a user name.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp USER=ymir \
    TORCH_HOME=/tmp/torch FVCORE_CACHE=/tmp/fvcore MPLCONFIGDIR=/tmp/matplotlib \
    NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility

COPY --from=packages /opt/venv /opt/venv
COPY --from=weights /weights /weights
COPY docker/start.sh /usr/bin/start.sh
COPY training-template.yaml mining-template.yaml infer-template.yaml manifest.yaml /img-man/
COPY . /app
WORKDIR /app
# Byte-compiled now, since the root is read-only later; the import is a smoke test of the image.
RUN chmod -R a+rX /app /img-man /usr/bin/start.sh && python -m compileall -q /app \
    && python -c "import cv2, pycocotools, torch, torchvision.ops, ymir_exc"

ARG VERSION=0.0.0
ARG REVISION=
ENV YMIR_DETECTRON2_REVISION=${REVISION}
LABEL org.opencontainers.image.title="ymir-detectron2" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="https://github.com/modelai/ymir-detectron2" \
      org.opencontainers.image.licenses="Apache-2.0"

# The entrypoint of the CUDA base prints a banner, which makes the registration in YMIR fail.
ENTRYPOINT []
CMD ["bash", "/usr/bin/start.sh"]
