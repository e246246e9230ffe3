# Builds with the same make targets that developers use. The engines come first:
# their layer is rebuilt only when a pinned version changes.
FROM golang:1.26 AS build
WORKDIR /src
COPY Makefile ./
COPY engines ./engines
RUN make engines
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
RUN make build VERSION="$VERSION"
RUN mkdir -p /data

FROM gcr.io/distroless/static-debian12:nonroot
# The daemon looks for loki and tempo beside its own executable.
COPY --from=build /src/bin/invoscope /src/bin/loki /src/bin/tempo /usr/local/bin/
COPY --from=build --chown=65532:65532 /data /data
COPY LICENSE NOTICE /usr/share/doc/invoscope/
USER 65532:65532
VOLUME /data
EXPOSE 3100 4317 4318
ENTRYPOINT ["/usr/local/bin/invoscope"]
CMD ["serve", "--data-dir", "/data", "--http", "0.0.0.0:3100", "--otlp-grpc", "0.0.0.0:4317", "--otlp-http", "0.0.0.0:4318"]
