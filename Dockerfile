# One image, three targets, each a drop-in for ollama/ollama:
#
#   docker build --target cpu  -t llamad .          docker run -d -v ollama:/root/.ollama -p 11434:11434 --name ollama llamad
#   docker build --target cuda -t llamad:cuda .     docker run -d --gpus=all …
#   docker build --target rocm -t llamad:rocm .     docker run -d --device /dev/kfd --device /dev/dri …
#
# llama.cpp is built for every x86-64 or ARM processor at once (LLAMAD_ISA=portable) and picks its code when it starts.
# There is no AMX code in it: virtual machines advertise AMX and trap on it.

ARG DEBIAN=debian:12-slim
ARG CUDA=12.8.1
ARG ROCM=6.4.4

# -- build --------------------------------------------------------------------------------------------------------

FROM ${DEBIAN} AS build-cpu
ARG CMAKE_ARGS=""
ENV ACCEL=cpu LLAMAD_ISA=portable
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates g++ make python3 \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY pyproject.toml uv.lock requirements.lock README.md LICENSE NOTICE ./
COPY tools ./tools
RUN python3 -m tools.install --venv /opt/llamad
COPY modelstore ./modelstore
COPY scheduler ./scheduler
COPY server ./server
RUN /opt/llamad/bin/python -m pip install --no-cache-dir --no-deps --no-build-isolation . \
    && python3 -m tools.install.slim --venv /opt/llamad

FROM nvidia/cuda:${CUDA}-devel-ubuntu24.04 AS build-cuda
ARG CMAKE_ARGS=""
ENV ACCEL=cuda LLAMAD_ISA=portable
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates g++ make python3 \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY pyproject.toml uv.lock requirements.lock README.md LICENSE NOTICE ./
COPY tools ./tools
RUN python3 -m tools.install --venv /opt/llamad
COPY modelstore ./modelstore
COPY scheduler ./scheduler
COPY server ./server
RUN /opt/llamad/bin/python -m pip install --no-cache-dir --no-deps --no-build-isolation . \
    && python3 -m tools.install.slim --venv /opt/llamad

FROM rocm/dev-ubuntu-24.04:${ROCM}-complete AS build-rocm
ARG CMAKE_ARGS="-DAMDGPU_TARGETS=gfx908;gfx90a;gfx942;gfx1030;gfx1100;gfx1101;gfx1102;gfx1151;gfx1200;gfx1201"
ENV ACCEL=rocm LLAMAD_ISA=portable
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates g++ make python3 \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY pyproject.toml uv.lock requirements.lock README.md LICENSE NOTICE ./
COPY tools ./tools
RUN python3 -m tools.install --venv /opt/llamad
COPY modelstore ./modelstore
COPY scheduler ./scheduler
COPY server ./server
RUN /opt/llamad/bin/python -m pip install --no-cache-dir --no-deps --no-build-isolation . \
    && python3 -m tools.install.slim --venv /opt/llamad

# -- images -------------------------------------------------------------------------------------------------------

FROM nvidia/cuda:${CUDA}-runtime-ubuntu24.04 AS cuda
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libgomp1 libstdc++6 python3 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build-cuda /opt/llamad /opt/llamad
RUN ln -s /opt/llamad/bin/llamad /usr/bin/llamad && ln -s /opt/llamad/bin/llamad /usr/bin/ollama
ENV OLLAMA_HOST=0.0.0.0:11434 NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
EXPOSE 11434
ENTRYPOINT ["/usr/bin/ollama"]
CMD ["serve"]

FROM rocm/dev-ubuntu-24.04:${ROCM}-complete AS rocm
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libgomp1 libstdc++6 python3 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build-rocm /opt/llamad /opt/llamad
RUN ln -s /opt/llamad/bin/llamad /usr/bin/llamad && ln -s /opt/llamad/bin/llamad /usr/bin/ollama
ENV OLLAMA_HOST=0.0.0.0:11434
EXPOSE 11434
ENTRYPOINT ["/usr/bin/ollama"]
CMD ["serve"]

# The last stage is what `docker build .` gives.
FROM ${DEBIAN} AS cpu
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libgomp1 libstdc++6 python3 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build-cpu /opt/llamad /opt/llamad
RUN ln -s /opt/llamad/bin/llamad /usr/bin/llamad && ln -s /opt/llamad/bin/llamad /usr/bin/ollama
ENV OLLAMA_HOST=0.0.0.0:11434 NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
EXPOSE 11434
ENTRYPOINT ["/usr/bin/ollama"]
CMD ["serve"]
