# syntax=docker/dockerfile:1
# Fluxtrail with git, as a user without rights. How to run it: docs/install.md
ARG PYTHON=3.11-slim-bookworm

FROM python:${PYTHON} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
COPY requirements-dev.txt ./
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY src ./src
# The versions are those that the tests ran with.
RUN python -m venv /opt/fluxtrail \
    && pip wheel --no-deps --wheel-dir /wheels . \
    && /opt/fluxtrail/bin/pip install --constraint requirements-dev.txt "$(ls /wheels/fluxtrail-*.whl)[aws,azure,crds,gcp]" \
    && /opt/fluxtrail/bin/fluxtrail --version

FROM python:${PYTHON}
# git and ssh fetch; tini takes process 1, to reap what git leaves behind and to pass signals on.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates git openssh-client tini \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 65532 fluxtrail \
    && useradd --uid 65532 --gid 65532 --home-dir /var/lib/fluxtrail --shell /usr/sbin/nologin fluxtrail \
    && install --directory --owner=65532 --group=65532 --mode=0700 /var/lib/fluxtrail
COPY --from=build /opt/fluxtrail /opt/fluxtrail
# HOME is the volume: the root file system may be read-only. Registries' logins are read from $DOCKER_CONFIG/config.json
# where that is set, else from $HOME/.docker/config.json.
ENV PATH=/opt/fluxtrail/bin:$PATH \
    HOME=/var/lib/fluxtrail \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /var/lib/fluxtrail
VOLUME /var/lib/fluxtrail
# API (on loopback without a token), metrics, health.
EXPOSE 8080 8888 9440
USER 65532:65532
ENTRYPOINT ["tini", "--", "fluxtrail"]
CMD ["run"]
LABEL org.opencontainers.image.title="Fluxtrail" \
      org.opencontainers.image.description="Where is my commit, when did it get there, and what is holding it up?" \
      org.opencontainers.image.licenses="Apache-2.0"
