# For CPUs: docker build -t tonetune . && docker run -it tonetune   (runs the pipeline; add `bash` to look around).
# For the page: docker run -p 127.0.0.1:7860:7860 tonetune make page HOST=0.0.0.0
FROM python:3.11-slim AS environment
RUN apt-get update \
    && apt-get install -y --no-install-recommends git make g++ \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home tonetune \
    && install -d -o tonetune /tonetune
# PyTorch's index for CPUs: PyPI's torch brings CUDA's libraries along.
ENV PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu
USER tonetune
WORKDIR /tonetune

FROM environment
# The environment first: it is built again only when what is pinned changes.
COPY --chown=tonetune Makefile requirements.lock requirements-models.lock ./
RUN make .venv/ready
COPY --chown=tonetune . .
# Copied files are newer than the environment.
RUN touch .venv/ready
CMD ["make", "repro"]
