# syntax=docker/dockerfile:1

# The page's browser libraries are fetched with npm during the build; the program needs neither.
FROM docker.io/library/node:22-trixie-slim AS node

FROM docker.io/library/rust:1.95-slim-trixie AS build
COPY --from=node /usr/local/bin/node /usr/local/bin/node
COPY --from=node /usr/local/lib/node_modules/npm /usr/local/lib/node_modules/npm
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm
WORKDIR /build

# Dependencies in a layer of their own: it is built again only when the lock changes. The sources
# are stand-ins, and so is the build script, whose files are not here yet.
COPY Cargo.toml Cargo.lock ./
COPY .cargo/config.toml .cargo/config.toml
RUN mkdir -p src tests/suite \
    && echo 'fn main() {}' > build.rs \
    && cp build.rs src/main.rs \
    && touch src/lib.rs tests/suite/main.rs \
    && cargo build --locked --profile dist --bin ollama-benchmarker

# Before the sources: most changes of these leave it as it is.
COPY LICENSE ./
COPY .ci/licences.mjs .ci/licences.mjs
COPY templates/package.json templates/package-lock.json templates/.npmrc templates/
# An empty folder becomes the volume, owned by who runs.
RUN mkdir -p /out/doc /out/data \
    && .ci/licences.mjs > /out/doc/licences.txt \
    && cp LICENSE /out/doc/

COPY build.rs ./
COPY migrations migrations
COPY templates templates
COPY src src
# There is no git in here. Day and commit come last, since they change with each commit.
ARG SOURCE_COMMIT=""
ARG SOURCE_DAY=""
# The stand-ins must be seen to be older.
RUN touch build.rs src/main.rs src/lib.rs \
    && cargo build --locked --profile dist --bin ollama-benchmarker \
    && cp target/dist/ollama-benchmarker /out/

FROM gcr.io/distroless/cc-debian13:nonroot
COPY --from=build --chown=65532:65532 /out/data /data
COPY --from=build /out/doc /usr/share/doc/ollama-benchmarker
COPY --from=build /out/ollama-benchmarker /usr/local/bin/ollama-benchmarker
ARG SOURCE_COMMIT=""
LABEL org.opencontainers.image.title="Ollama Benchmarker" \
    org.opencontainers.image.description="Measures local language models: every chunk timed at arrival, stored, shown live and compared." \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.revision="${SOURCE_COMMIT}"
# SQLite needs a place for what does not fit into memory, and the root file system may be read-only.
ENV BENCHMARKER_HOST=0.0.0.0 \
    DATABASE_URL=sqlite:/data/benchmarker.db \
    SQLITE_TMPDIR=/data
WORKDIR /data
VOLUME /data
EXPOSE 8000
# Its name there is nonroot; only a number tells an orchestrator that it is not root.
USER 65532
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s --retries=3 \
    CMD ["/usr/local/bin/ollama-benchmarker", "health"]
ENTRYPOINT ["/usr/local/bin/ollama-benchmarker"]
CMD ["serve"]
