# syntax=docker/dockerfile:1
# Builds node-bitnet from a clone and runs its server as a user without rights.

FROM node:22-bookworm-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends cmake g++ make && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY . .
RUN npm run build && npm prune --omit=dev --ignore-scripts

# glibc and libstdc++ of the stage above are those of Debian 12, as here.
FROM gcr.io/distroless/nodejs22-debian12:nonroot
ENV NODE_ENV=production BITNET_HOST=0.0.0.0 BITNET_PORT=8080
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/build/Release ./build/Release
COPY --from=build /app/dist ./dist
COPY --from=build /app/models ./models
EXPOSE 8080
# The image has no shell; Node asks itself.
HEALTHCHECK --interval=10s --timeout=3s --start-period=120s \
  CMD ["/nodejs/bin/node", "-e", "fetch('http://127.0.0.1:'+process.env.BITNET_PORT+'/ready').then(r=>process.exit(r.ok?0:1),()=>process.exit(1))"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/nodejs/bin/node", "dist/cli/main.js"]
CMD ["serve"]
