# promptsync runs on Node 20.19 and newer; 22 is the oldest line that still gets security fixes. No package of the
# service is compiled for a platform, so Alpine's C library is as good as another.
# The steps are relative to WORKDIR and use what Alpine's and Debian's shells share: .ci/image runs them without an engine.
FROM node:22-alpine AS base
WORKDIR /app

FROM base AS build
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY tsconfig.json tsconfig.build.json ./
COPY scripts scripts
COPY prisma prisma
COPY openapi openapi
COPY src src
# The SDK is for applications, which install the package.
RUN npm run build && rm -rf dist/sdk
# A volume takes the owner of the directory it is mounted on, so the image needs one.
RUN mkdir data

FROM base AS modules
COPY package.json package-lock.json .npmrc ./
# Without optional packages Prisma's command line stays out: `promptsync migrate` does not need it.
RUN npm ci --omit=dev --omit=optional --ignore-scripts
# Of Prisma's query compilers the generated client imports one, as a module; the others are for other databases.
RUN find node_modules/@prisma/client/runtime -type f \
      ! -name 'client.js' ! -name 'client.mjs' ! -name 'query_compiler_fast_bg.postgresql*.mjs' -exec rm -f {} +
# Of PGlite the service loads the modules and the Postgres, no extensions.
RUN cd node_modules/@electric-sql/pglite/dist \
 && rm -rf contrib live worker node-postgres \
 && find . -type f \( -name '*.cjs' -o -name '*.tar.gz' \) -exec rm -f {} +
# What is for people and compilers. Licences stay.
RUN cd node_modules \
 && rm -rf .package-lock.json .bin @types zod/src \
 && find . -type d \( -path './*/test' -o -path './*/docs' -o -path './*/examples' -o -path './*/.github' \) -prune -exec rm -rf {} + \
 && find . -type f \( -name '*.map' -o -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' -o -name '*.tsbuildinfo' \) -exec rm -f {} + \
 && find . -type f -name '*.md' ! -iname '*licen[cs]e*' ! -iname 'notice*' ! -iname 'copying*' -exec rm -f {} +

FROM base
LABEL org.opencontainers.image.title="promptsync" \
      org.opencontainers.image.description="A prompt registry over HTTP" \
      org.opencontainers.image.licenses="MIT"
ENV NODE_ENV=production \
    HOST=0.0.0.0 \
    PORT=3000 \
    PROMPTSYNC_DATA_DIR=/data
# Sources of the provider `git` are read by the git program, and by that of ssh where they are reached so.
RUN apk add --no-cache git openssh-client
COPY --from=modules /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY package.json LICENSE ./
COPY prisma prisma
COPY defaults defaults
COPY --from=build --chown=node:node /app/data /data
# Nothing else is written but temporary files, so with a tmpfs on /tmp the root file system may be read-only.
VOLUME /data
USER node
EXPOSE 3000
STOPSIGNAL SIGTERM
# /readyz stays 200 while the database is away: the service goes on by itself then, and a restart would not help.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:' + process.env.PORT + '/readyz', { signal: AbortSignal.timeout(4000) }).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "/app/dist/main.js"]
CMD ["serve"]
