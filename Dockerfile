# One image for every bot: `troupe up` (the default) runs the whole fleet in one container, `troupe bot sage` one bot.
# compose.yaml runs one container for each bot. The model SDKs ask the operating system whom to trust (ca-certificates).

FROM python:3.11-slim AS builder
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_NO_INPUT=1
RUN python -m venv /venv
WORKDIR /build
# The locked dependencies by themselves, so that a change in the code does not install them anew.
COPY requirements.lock ./
RUN /venv/bin/pip install --require-hashes --requirement requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY bots bots
COPY storage storage
RUN /venv/bin/pip install --no-deps --no-build-isolation .

FROM python:3.11-slim
# The base image brings ca-certificates; without them every request to a model fails, so fail here instead.
# The home is /tmp because nothing but /app/data and /tmp need be writable.
RUN test -s /etc/ssl/certs/ca-certificates.crt \
    && groupadd --gid 10001 troupe \
    && useradd --uid 10001 --gid troupe --home-dir /tmp --no-create-home --shell /usr/sbin/nologin troupe \
    && install --directory --owner troupe --group troupe --mode 0700 /app/data
# What a PDF export is set with, so that every script and emoji can be read in it.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends fonts-noto-cjk fonts-noto-color-emoji fonts-noto-core \
    && rm -rf /var/lib/apt/lists/*
COPY --from=builder /venv /venv
WORKDIR /app
# Mount a folder over /app/config to run bots of your own.
COPY config config
# LOGNAME names whoever is at the terminal, also where `docker run --user` makes them a stranger to the system.
ENV PATH="/venv/bin:$PATH" \
    LOGNAME=troupe \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TROUPE_CONFIG=/app/config
USER 10001:10001
# One folder for each bot: its storage root.
VOLUME /app/data
# The consoles of the bots in config/, from fleet.web_port on.
EXPOSE 8700 8701 8702
STOPSIGNAL SIGTERM
# TROUPE_BOT names the bot of a container that runs one; without it every bot of the config must be well.
HEALTHCHECK --interval=30s --timeout=20s --start-period=60s --retries=3 \
    CMD for bot in ${TROUPE_BOT:-$(basename -s .yaml "$TROUPE_CONFIG"/bots/*.yaml)}; do \
        troupe status --healthy "$bot" || exit 1; \
    done
ENTRYPOINT ["troupe"]
CMD ["up"]
