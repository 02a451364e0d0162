# The first stage installs; the second takes only the result.
FROM python:3.11-slim-bookworm AS builder

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
# For `strip` below.
RUN apt-get update && apt-get install -y --no-install-recommends binutils
WORKDIR /src

# PyPI has torch for Linux as a CUDA build, which requires several GB, and PyTorch's own index has a CPU build of 200 MB.
# Where the usual index has the CPU build, the extra index need not answer. The step installs torch alone: its
# dependencies come in the next step, and a change of code does not download it again. pip installs only packages whose
# SHA-256 is in the lock files.
ARG TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu
ENV LOCKED="--no-deps --require-hashes --only-binary :all:"
COPY requirements/torch.txt requirements/
RUN pip install $LOCKED --retries 2 ${TORCH_INDEX_URL:+--extra-index-url "$TORCH_INDEX_URL"} -r requirements/torch.txt \
    || { echo "The CPU build of torch cannot be installed: TORCH_INDEX_URL does not answer or does not have it;" \
         "set --build-arg TORCH_INDEX_URL to an index that does." >&2; exit 1; }

COPY requirements/base.txt requirements/
RUN pip install $LOCKED -r requirements/base.txt

# What nothing uses here, 430 MB: tests, the C++ headers and programs of torch, and the symbols of the largest libraries.
RUN cd /opt/venv/lib/python3.11/site-packages \
    && rm -rf torch/test torch/include \
    && find torch/bin -type f ! -name torch_shm_manager -delete \
    && find matplotlib mpl_toolkits mpmath networkx numba numpy scipy sympy -type d -name tests -prune -exec rm -rf {} + \
    && strip --strip-unneeded torch/lib/libtorch_cpu.so torch/lib/libtorch_python.so llvmlite/binding/libllvmlite.so \
    && cd / && python -c 'import torch, numba, scipy.optimize, matplotlib.pyplot'

COPY pyproject.toml README.md LICENSE ./
COPY models models
COPY service service
# `pip check` fails if pyproject.toml requires a package that the lock files do not have.
RUN pip install --no-deps --no-build-isolation . && pip check
# Runs outside /src, so that it compiles the installed kernel and stores the machine code beside it.
RUN cd / && python -m models.compile_kernel


FROM python:3.11-slim-bookworm

# A host folder that is mounted on /data must belong to this uid. A volume gets it by itself.
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin separatrix \
    && install --directory --owner separatrix --group separatrix /data
COPY --from=builder /opt/venv /opt/venv

# NUMBA_CACHE_DIR: the machine code of the training kernel is copied there from the image. On a processor of another
# kind than the one that built the image, the first start compiles it, which takes about a minute, and keeps it there.
# SEPARATRIX_HOST: inside a container the service must listen on all addresses; the published port decides who can reach
# it. SEPARATRIX_FIRST_KEY: so it needs a key, which the first start makes and logs. HOME: the only place for caches when the root file system is read-only.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    NUMBA_CACHE_DIR=/data/cache \
    SEPARATRIX_DATA_DIR=/data \
    SEPARATRIX_HOST=0.0.0.0 \
    SEPARATRIX_PORT=8000 \
    SEPARATRIX_FIRST_KEY=true

USER separatrix
WORKDIR /data
VOLUME /data
EXPOSE 8000

# Healthy means ready to answer requests. The first start may have to compile, which takes minutes on a slow machine:
# failures count only after the start period, and the first success ends it. The request never goes through a proxy.
HEALTHCHECK --interval=5s --timeout=5s --start-period=5m --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.build_opener(u.ProxyHandler({})).open('http://127.0.0.1:' + os.environ['SEPARATRIX_PORT'] + '/health/ready', timeout=4)"]

ENTRYPOINT ["separatrix"]
CMD ["serve"]
