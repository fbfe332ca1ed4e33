# syntax=docker/dockerfile:1
# Stage 1 installs exactly what uv.lock names; stage 2 has neither uv nor a compiler.
FROM python:3.11-slim AS build
RUN pip install --no-cache-dir "uv>=0.8,<1"
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
WORKDIR /app
# Dependencies change less often than the code, so they get a layer of their own.
COPY pyproject.toml uv.lock README.md LICENSE ./
RUN uv sync --locked --no-dev --no-install-project --extra postgres
COPY backend ./backend
COPY lf_rules ./lf_rules
RUN uv sync --locked --no-dev --no-editable --extra postgres

FROM python:3.11-slim
RUN useradd --uid 1000 --create-home prelabel \
    && install -d -m 700 -o prelabel -g prelabel /data /data/models
COPY --from=build /app/.venv /app/.venv
COPY --chown=prelabel:prelabel lf_rules /app/lf_rules
ENV PATH=/app/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    MODEL_DIR=/data/models \
    LF_RULES_DIR=/app/lf_rules \
    BIND_HOST=0.0.0.0 \
    PORT=9090
USER prelabel
WORKDIR /app
VOLUME /data
EXPOSE 9090
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=5 \
    CMD ["python", "-c", "import http.client, os; asked = http.client.HTTPConnection('127.0.0.1', int(os.environ['PORT']), timeout=2); asked.request('GET', '/health'); exit(asked.getresponse().status not in {200, 401})"]
CMD ["prelabel", "web"]
