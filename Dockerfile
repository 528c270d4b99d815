# One image for all of Warren's processes; the command says which: `python -m services.gateway`, `.history`,
# `.delivery`, `.presence`, or `.init`, which prepares the broker and the database and ends.
ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS build
# Another package index, for builds that do not reach PyPI. What is not given is not set.
ARG PIP_INDEX_URL
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python3 -m venv --without-pip /opt/warren
WORKDIR /src
COPY requirements-runtime.lock ./
RUN python3 -m pip --python /opt/warren/bin/python install -q --only-binary :all: --no-deps -r requirements-runtime.lock
COPY . .
RUN python3 -m pip --python /opt/warren/bin/python install -q --no-deps .

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="Warren" \
      org.opencontainers.image.description="An instant-messaging backend: WebSocket gateway, RabbitMQ, MongoDB." \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/warren /opt/warren
# Nothing is written to the file system, so it may be read-only; a container's ports are reached from outside of it.
ENV PATH=/opt/warren/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1 \
    WARREN_ADMIN_HOST=0.0.0.0 \
    WARREN_GATEWAY_HOST=0.0.0.0
USER 10001:10001
EXPOSE 8000 8100 8101 8102 8103
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s CMD ["python", "-m", "services.health"]
CMD ["python", "-m", "services.gateway"]
