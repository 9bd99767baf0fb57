# The dispatcher. Mount or copy waybill.config.ts into /app and set WAYBILL_DATABASE_URL (docs/deploying.md):
#   docker build -t waybill . && docker run --init -e WAYBILL_DATABASE_URL -v ./waybill.config.ts:/app/waybill.config.ts waybill
FROM node:24-slim AS build
WORKDIR /build
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY scripts/copy-assets.mjs scripts/build-commonjs.mjs scripts/
COPY src src
RUN npm run build
# what runs, and nothing else: the clients of the brokers become dependencies, in the versions that were tested
RUN tested() { node -p "'$1@' + require('./package-lock.json').packages['node_modules/$1'].version"; } \
  && npm install --save-prod --save-exact --omit=dev --ignore-scripts --no-audit --no-fund "$(tested amqplib)" "$(tested kafkajs)"

FROM node:24-slim
# getaddrinfo gets half of libuv's threads: handlers of jobs with names that hang are not to use up the database's
ENV NODE_ENV=production UV_THREADPOOL_SIZE=16
WORKDIR /app
COPY --from=build --chown=node:node /build/package.json /waybill/package.json
COPY --from=build --chown=node:node /build/node_modules /waybill/node_modules
COPY --from=build --chown=node:node /build/dist /waybill/dist
COPY --chown=node:node prisma/migrations /waybill/prisma/migrations
# a configuration file imports waybill/config
RUN mkdir -p node_modules && ln -s /waybill node_modules/waybill && ln -s /waybill/dist/cli/main.js /usr/local/bin/waybill && chmod +x /waybill/dist/cli/main.js
USER node
EXPOSE 9464
# without --init (or tini) a signal in its first half second is lost
ENTRYPOINT ["waybill"]
CMD ["dispatch", "--health-port", "9464"]
