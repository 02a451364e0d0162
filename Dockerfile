# The first stage installs; the second has the result alone.
FROM python:3.11-slim-bookworm AS builder

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /src

# Plain "torch" can bring a build for CUDA, several GB of it; "+cpu" makes that an error. CPU builds are in an index of
# PyTorch's own: set TORCH_INDEX_URL to PyTorch's index of CPU wheels. It is an extra index, since torch's dependencies
# come from the usual one. Torch has a layer of its own, so that a change of code does not bring it anew. Its tests and
# headers, 150 MB that only compilers of C++ want, stay out.
ENV TORCH=torch==2.13.0+cpu
ARG TORCH_INDEX_URL
RUN pip install ${TORCH_INDEX_URL:+--extra-index-url "$TORCH_INDEX_URL"} "$TORCH" \
    || { echo "No $TORCH: set --build-arg TORCH_INDEX_URL to PyTorch's index of CPU wheels" >&2; exit 1; } \
    && rm -rf /opt/venv/lib/python3.11/site-packages/torch/test /opt/venv/lib/python3.11/site-packages/torch/include

# $TORCH once more: should pyproject.toml ask for another version, the build fails here and fetches no other build.
COPY pyproject.toml ./
RUN python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"], sep="\n")' \
        >requirements.txt \
    && pip install -r requirements.txt "$TORCH"

COPY README.md LICENSE ./
COPY models models
COPY service service
RUN pip install --no-deps .
# Away from /src, so that it is the installed kernel whose machine code is kept, beside it.
RUN cd / && python -m models.compile_kernel


FROM python:3.11-slim-bookworm

# A folder of the host that is mounted on /data must belong to this uid; a volume does so by itself.
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin separatrix \
    && install --directory --owner separatrix --group separatrix /data
COPY --from=builder /opt/venv /opt/venv

# NUMBA_CACHE_DIR: the machine code of the training kernel is taken there from the image. Should this processor be of
# another kind than the one the image was built on, the kernel is compiled at the first start, half a minute, and kept.
# SEPARATRIX_INSECURE: within a container the service must listen on all addresses; the published port decides who
# reaches it. HOME: the one place for caches where the root file system is read-only.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    NUMBA_CACHE_DIR=/data/cache \
    SEPARATRIX_DATA_DIR=/data \
    SEPARATRIX_HOST=0.0.0.0 \
    SEPARATRIX_PORT=8000 \
    SEPARATRIX_INSECURE=true

USER separatrix
WORKDIR /data
VOLUME /data
EXPOSE 8000

# Healthy means ready: whoever waits for it wants to send requests. The first start may have to compile, on a slow machine
# for some minutes; failures count only after that, and the first success ends the wait. A proxy is never asked.
HEALTHCHECK --interval=5s --timeout=5s --start-period=5m --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.build_opener(u.ProxyHandler({})).open('http://127.0.0.1:' + os.environ['SEPARATRIX_PORT'] + '/health/ready', timeout=4)"]

ENTRYPOINT ["separatrix"]
CMD ["serve"]
