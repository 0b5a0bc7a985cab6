# Seamark as an image: the service, its SDK and the demo's model server. Built in two stages; nothing that builds is left.
FROM python:3.12-slim AS build
WORKDIR /src
COPY requirements.lock ./
RUN python -m venv --without-pip /opt/seamark \
    && pip --python /opt/seamark/bin/python install --no-cache-dir --no-deps --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY service service
COPY migrations migrations
COPY dashboards dashboards
COPY loadtests loadtests
COPY sdk sdk
# hatchling, which builds the two projects, is in the lock: it goes again once it has built them.
RUN pip --python /opt/seamark/bin/python install --no-cache-dir --no-deps --no-build-isolation . ./sdk \
    && pip --python /opt/seamark/bin/python uninstall --yes hatchling

FROM python:3.12-slim
LABEL org.opencontainers.image.title="Seamark" org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --system --uid 10001 --home-dir /var/lib/seamark --create-home seamark
COPY --from=build /opt/seamark /opt/seamark
COPY demo /opt/demo
ENV PATH=/opt/seamark/bin:$PATH PYTHONUNBUFFERED=1 DO_NOT_TRACK=1 SEAMARK_DATA_DIR=/var/lib/seamark
USER 10001
WORKDIR /var/lib/seamark
VOLUME /var/lib/seamark
EXPOSE 8000 4317 4318
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=6 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
ENTRYPOINT ["seamark"]
CMD ["serve"]
