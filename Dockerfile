# Two flavours from one file; the defaults are `cu111`, for GPUs from Pascal to Ampere:
#   docker build -t ymir-detectron2:cu111 .
#   docker build -t ymir-detectron2:current --build-arg BASE=debian:bookworm-slim --build-arg FLAVOUR=current .
# A plain base: torch's wheels carry CUDA and cuDNN, also for the extensions of torchvision and detectron2. A CUDA base
# would have both a second time, and NVIDIA removes the tags of releases that have reached their end of life.
ARG BASE=ubuntu:20.04

# --- what the build and the product need from the distribution
FROM ${BASE} AS system
ARG FLAVOUR=cu111
# A CUDA base brings lists of NVIDIA's packages, from which nothing is installed. The signing key was replaced in April
# 2022: with the lists of a base from before, apt-get update fails.
# Certificates: a training may download published weights. The font draws Chinese class names in plots.
# torch 1.10 imports distutils for TensorBoard, which Debian and Ubuntu split off from Python.
# No versions: Debian and Ubuntu keep only the latest of a package.
# hadolint ignore=DL3008
RUN rm -f /etc/apt/sources.list.d/cuda* /etc/apt/sources.list.d/nvidia* && export DEBIAN_FRONTEND=noninteractive \
    && apt-get update && apt-get install -y --no-install-recommends ca-certificates fonts-wqy-microhei python3 \
    && case "${FLAVOUR}" in cu111*) apt-get install -y --no-install-recommends python3-distutils ;; esac \
    && rm -rf /var/lib/apt/lists/*

# --- Python packages, in a virtual environment that is copied as a whole; pip itself is not in the final image
FROM system AS packages
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends python3-venv && rm -rf /var/lib/apt/lists/*
ARG FLAVOUR=cu111
# For `cu111`: where the wheels are that the package index lacks. A page, a mirror of it, or /requirements/wheels
# for files put into requirements/wheels. TORCH_BUILD is the suffix of torch's version; '.*' accepts any build.
ARG TORCH_WHEELS=https://download.pytorch.org/whl/cu111/torch_stable.html
ARG TORCH_BUILD=+cu111
ARG DETECTRON2_WHEELS=https://dl.fbaipublicfiles.com/detectron2/wheels/cu111/torch1.10/index.html
COPY requirements /requirements
# pip first: that of Ubuntu 20.04 does not know the names of today's wheels (manylinux_2_27 and later).
# --no-cache-dir as a variable: ensurepip reads it too.
# hadolint ignore=DL3042
RUN export PIP_NO_CACHE_DIR=1 && python3 -m venv /opt/venv && /opt/venv/bin/python -m pip install pip==25.0.1 \
    && /opt/venv/bin/python -m pip install -r "/requirements/${FLAVOUR}.txt" \
    && /opt/venv/bin/python -m pip freeze > /opt/venv/sbom.txt \
    && /opt/venv/bin/python -m pip uninstall -y pip

# --- published weights, so that a host without internet can start from them; WEIGHTS=none leaves them out on purpose
FROM packages AS weights
ARG WEIGHTS=all
COPY configs /app/configs
COPY ymir_detectron2 /app/ymir_detectron2
WORKDIR /app
RUN mkdir /weights && /opt/venv/bin/python -m ymir_detectron2.tools.weights fetch --into /weights "${WEIGHTS}"

# --- the product
FROM system
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
# not requirements: wheels of the builder may be in it
COPY start.py ymir_*.py *-template.yaml manifest.yaml LICENSE /app/
COPY configs /app/configs
COPY ymir_detectron2 /app/ymir_detectron2
WORKDIR /app
# Byte-compiled now, since the root is read-only later. The imports are tried as a task does them: in this stage, and
# as a user whom nobody knows. Only what a strict umask has closed is opened: chmod would copy each file to this layer.
RUN find /app /img-man /usr/bin/start.sh \( -type d ! -perm -555 -o ! -perm -444 \) -exec chmod a+rX {} + \
    && python -m compileall -q /app \
    && setpriv --reuid 12345 --regid 12345 --clear-groups python -m ymir_detectron2.tools.check_imports && rm -rf /tmp/*

ARG VERSION=0.0.0
ARG REVISION=
ENV YMIR_DETECTRON2_REVISION=${REVISION}
LABEL org.opencontainers.image.title="ymir-detectron2" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="https://github.com/modelai/ymir-detectron2" \
      org.opencontainers.image.licenses="Apache-2.0"

# The entrypoint of a CUDA base prints a banner, which makes the registration in YMIR fail.
ENTRYPOINT []
CMD ["bash", "/usr/bin/start.sh"]
