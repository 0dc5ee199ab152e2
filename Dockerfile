# Debian slim, because the SQLite and Node binaries in npm are built for glibc.
FROM node:26-bookworm-slim AS build
WORKDIR /src
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY . .
RUN npm run build && npm prune --omit=dev

FROM node:26-bookworm-slim
RUN useradd --system --uid 10001 --home-dir /var/lib/gatebook --create-home gatebook \
 && install -d -o gatebook -g gatebook -m 0700 /var/lib/gatebook /etc/gatebook
WORKDIR /opt/gatebook
COPY --from=build /src/package.json ./
COPY --from=build /src/node_modules ./node_modules
COPY --from=build /src/dist ./dist
RUN ln -s /opt/gatebook/dist/src/main.js /usr/local/bin/gatebook && chmod +x dist/src/main.js
USER gatebook
# The book, the accounts and the journal: a volume on a disk whose fsync is honest.
VOLUME /var/lib/gatebook
EXPOSE 5432 8443
STOPSIGNAL SIGTERM
ENTRYPOINT ["gatebook"]
CMD ["serve", "--config", "/etc/gatebook/config.yaml"]
