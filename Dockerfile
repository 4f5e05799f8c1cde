# Batch inference with one bundle: scans in /in, tables and maps in /out. No torch, no compiler, no root.
#
#   docker build --tag scanlens .
#   docker run --rm --read-only --tmpfs /tmp --network none --cap-drop all \
#     --user "$(id -u):$(id -g)" -v "$PWD/scans:/in:ro" -v "$PWD/predictions:/out" scanlens
#
# What follows the image's name goes to scanlens predict: --threads 4, --no-maps, --json. The bundle is
# part of the image; mounting another one at /bundle replaces it.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
WORKDIR /build
# The tools stay behind in this stage; the environment that ships has no pip.
# Secret "ca" (optional) is a CA file for networks that inspect TLS: --secret id=ca,src=FILE
RUN --mount=type=secret,id=ca \
    if [ -f /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi; \
    python3 -m venv /opt/tools \
    && /opt/tools/bin/pip install --no-cache-dir 'pip>=25.1,<27' \
    && python3 -m venv --without-pip /opt/scanlens
COPY pyproject.toml constraints.txt ./
RUN --mount=type=secret,id=ca \
    if [ -f /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi; \
    /opt/tools/bin/pip --python /opt/scanlens/bin/python install --no-cache-dir \
        --constraint constraints.txt --group inference
COPY README.md LICENSE ./
COPY src src
RUN --mount=type=secret,id=ca \
    if [ -f /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi; \
    /opt/tools/bin/pip --python /opt/scanlens/bin/python install --no-cache-dir --no-deps .
COPY data/09_bundle /bundle
# The build ends here where the bundle is incomplete or altered. The checkout's own modes don't matter.
RUN /opt/scanlens/bin/scanlens bundle /bundle > /dev/null && chmod -R a+rX /bundle

FROM ${BASE}
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="scanlens" \
      org.opencontainers.image.description="Calibrated class probabilities and probability maps of scans in /in" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/scanlens /opt/scanlens
COPY --from=build /bundle /bundle
# A read-only root: all that a library might write goes to /tmp. ONNX Runtime reports to nobody, whoever
# imports it in this image.
ENV PATH="/opt/scanlens/bin:${PATH}" \
    HOME=/tmp \
    ORT_DISABLE_TELEMETRY=1 \
    PYTHONDONTWRITEBYTECODE=1
# A number, for orchestrators that must know that it is not root; it needs no entry in /etc/passwd.
USER 10001:10001
# Python as process 1 ignores SIGTERM, but ends in order on SIGINT.
STOPSIGNAL SIGINT
ENTRYPOINT ["scanlens", "predict", "--bundle", "/bundle", "--input", "/in", "--output", "/out"]
