# syntax=docker/dockerfile:1
# One image with every binary. As it stands it runs `hubbub`, everything in one process; a command
# such as /usr/local/bin/chat runs one part (docker-compose.yml, k8s/).

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
# The caches are no part of the layer: what was compiled once is there for the next build, and only
# the binaries are carried over.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target,sharing=locked \
    cargo build --locked --release \
        --package embedded --package gateway --package user --package chat --package message \
    && install -D --target-directory=/out \
        target/release/hubbub target/release/gateway target/release/user target/release/chat \
        target/release/message \
    && install -d -m 0700 /out/data /out/keys

# The C library, certificates and nothing else: no shell, no package manager. Same Debian as above.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /out/hubbub /out/gateway /out/user /out/chat /out/message /usr/local/bin/
COPY config/compose.toml config/cluster.toml /etc/hubbub/
# Made here, so that a fresh volume in their place belongs to the one who has to write there.
COPY --from=build --chown=65532:65532 /out/data /var/lib/hubbub
COPY --from=build --chown=65532:65532 /out/keys /etc/hubbub/keys
USER 65532:65532
EXPOSE 8000
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s --retries=3 \
    CMD ["/usr/local/bin/hubbub", "health", "http://127.0.0.1:8000/health/ready"]
CMD ["/usr/local/bin/hubbub", "--data", "/var/lib/hubbub", "--listen", "0.0.0.0:8000"]
