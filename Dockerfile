# The studio on a processor, with Pocket in it. `docker build -t hypersd-studio .`; see docs/deployment.md for what was tried of it.
FROM debian:bookworm-slim

RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-venv && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home --uid 1000 studio && mkdir /data && chown studio /data

# Without CUDA, which is most of an installation's size. For a card: --build-arg TORCH_INDEX=https://pypi.org/simple
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN python3 -m venv /opt/studio && /opt/studio/bin/pip install --no-cache-dir torch torchvision --index-url "$TORCH_INDEX"
COPY requirements.txt /studio/
RUN /opt/studio/bin/pip install --no-cache-dir -r /studio/requirements.txt

WORKDIR /studio
COPY app.py pyproject.toml README.md LICENSE NOTICE ./
COPY assets/pocket assets/pocket
COPY hypersd_app hypersd_app

# Models, styles, downloads and compiled networks outlive the container
ENV HYPERSD_HOST=0.0.0.0 HYPERSD_CACHE=/data/cache HYPERSD_MODELS=/data/models HYPERSD_STYLES=/data/styles HF_HOME=/data/huggingface
USER studio
VOLUME /data
EXPOSE 7860
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=300s \
    CMD ["/opt/studio/bin/python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:7860/health', timeout=8)"]
CMD ["/opt/studio/bin/python", "app.py"]
