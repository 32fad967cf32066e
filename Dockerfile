# The image of every node of a cluster, with the versions of constraints.txt. It holds no secret and no data.
#
#     docker build --tag registry.example.org/sandan:0.1.0 .
#
# All nodes and the driver must run the same Python and the same Ray, so cluster/cluster.yaml names one image for all of
# them. Pin the base by its digest in a mirror of your own (FROM python:3.12.11-slim-bookworm@sha256:...).
FROM python:3.12.11-slim-bookworm

# wget: the operator of KubeRay asks nodes for their health by it; rsync: `ray up` brings files by it.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends rsync wget \
    && rm -rf /var/lib/apt/lists/*

# The user and the group that the files of cluster/kuberay run as.
RUN useradd --uid 1000 --gid 100 --create-home --shell /bin/bash sandan

WORKDIR /opt/sandan
COPY pyproject.toml constraints.txt README.md LICENSE NOTICE ./
COPY tiler ./tiler
COPY models ./models
COPY cluster ./cluster
COPY jobs ./jobs
RUN python -m pip install --no-cache-dir --constraint constraints.txt '.[openvino]' \
    && rm -rf build *.egg-info

ENV PYTHONUNBUFFERED=1 \
    RAY_USAGE_STATS_ENABLED=0 \
    MALLOC_ARENA_MAX=1

USER 1000:100
WORKDIR /home/sandan
CMD ["sandan", "--help"]
