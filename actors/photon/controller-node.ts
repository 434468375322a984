/** A controller node: hosts sharded actors, serves the control API and the inspector. Runs without privileges. */
import { createServer as createPlainServer } from 'node:http';
import { createServer } from 'node:https';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { clusterId, hostId } from '@photoncloud/machines/values/identifiers';
import type { ActorRegistry } from '@photoncloud/runtime/contract/actor-definition';
import type { Command, Reply } from '@photoncloud/runtime/contract/envelope';
import { describeCause } from '@photoncloud/runtime/contract/errors';
import { actorId } from '@photoncloud/runtime/contract/identifiers';
import type { Log } from '@photoncloud/runtime/contract/log';
import { defaultApiLimits } from '@photoncloud/runtime/control-api/api-limits';
import { createControlApi, type ControlApi } from '@photoncloud/runtime/control-api/control-api';
import { openLogoutFile } from '@photoncloud/runtime/control-api/logout-file';
import { openTokenFile } from '@photoncloud/runtime/control-api/token-file';
import type { Host } from '@photoncloud/runtime/hosting/host';
import { watchMemory } from '@photoncloud/runtime/journal/store-memory';
import { systemClock } from '@photoncloud/runtime/hosting/system-clock';
import { createInspectorRoutes } from '@photoncloud/runtime/inspector/inspector-routes';
import { metricsText, processFigures } from '@photoncloud/runtime/telemetry/metrics';
import type { Listener } from '@photoncloud/runtime/transport/listener';
import { createSocketDoor } from '@photoncloud/runtime/transport/socket-door';
import { createRegistry } from '../registry.ts';
import { Announcements } from './announcements.ts';
import { tellGone } from './fenced-host.ts';
import { clusterNodes, nodeMetrics } from './cluster-nodes.ts';
import { volumeMetrics } from './volume-figures-routes.ts';
import { sendIncoming } from './incoming-bytes.ts';
import { joinAsMember, type JournalDecorator, type MemberNode, type MemberParts } from './member-node.ts';
import type { RolloutPort } from '../rollout/rollout-port.ts';
import { reachAgent } from './nix-agent/asked-agent.ts';
import { noAgent, noDataplane, noRollouts } from './no-dataplane.ts';
import { createNodeDeployer } from './node-deployer.ts';
import { tlsVersion, type NodeCertificate } from './node-certificate.ts';
import type { NodeFolder } from './node-config.ts';
import { listenerOf, type NodeListeners } from './node-listeners.ts';
import type { RunningRole } from './node-process.ts';
import { openSeal } from './secret-seal.ts';

/**
 * The control API's unix socket in the node's folder: for the CLI and the inspector on the same computer, root only.
 */
export const apiSocketName = 'api.sock';

const version = '0.1.0';

export interface ControllerOptions {
  readonly listeners: NodeListeners;
  readonly journal?: JournalDecorator;
}

export async function startController(folder: NodeFolder, log: Log, options: ControllerOptions): Promise<RunningRole> {
  const { config } = folder;
  let review = (): void => {};
  let known: ActorRegistry;
  const announcements = new Announcements(systemClock, log);
  /** Called at the start and again in each new era, because a store rollback may have removed the cluster actor. */
  const openCluster = (host: Host): Promise<void> =>
    announcements.tell(host, actorId(clusterId), { type: 'cluster.open', name: config.cluster });
  const member = await joinAsMember({
    folder,
    role: 'controller',
    log,
    registry: (parts) => (known = controllerRegistry(folder, log, parts, () => known)),
    ...options,
    onRevoked: () => review(),
    onEra: (_, host) => void openCluster(host),
    onHostShard: (grant, { host: inlet, reader, registry }) =>
      void tellGone({ grant, inlet, reader, registry, log }).catch((error: unknown) => {
        log.error(
          { shard: grant.shard, why: describeCause(error) },
          'host.gone could not be sent to the counterparts of a fenced host',
        );
      }),
    onNode: ({ event, node }, host) => {
      if (node.role !== 'worker' || event === 'joined') return;
      const type = event === 'back' ? 'host.back' : 'host.silent';
      void announcements.tell(host, actorId(hostId(node.name)), { type });
    },
  });
  await openCluster(member.host);
  const stopWatching = watchMemory({
    store: member.store,
    clock: systemClock,
    log,
    limits: config.limits.store ?? {},
    tell: (memory) => member.host.tell(actorId(clusterId), { type: 'store.memory', ...memory }),
  });
  const api = openApi(folder, member, log);
  review = () => api.review();
  const close = await listenApi(folder, listenerOf(options.listeners, 'api'), api, member.certificate);
  return {
    ended: member.failed,
    async stop() {
      stopWatching();
      await api.close();
      close();
      await member.stop();
    },
  };
}

function controllerRegistry(
  folder: NodeFolder,
  log: Log,
  { fence, reader, rows, clock, random, host, links }: MemberParts,
  registryOf: () => ActorRegistry,
): ActorRegistry {
  const secrets = openSeal(folder.path);
  const ask = async (command: Command): Promise<Reply> => (await host).ask(command);
  const deployer = createNodeDeployer({ registry: registryOf, reader, rows, clock, random, ask, secrets, log });
  const reach: RolloutPort['reach'] = (name, id, signal) => reachAgent(links, name, id, signal);
  return createRegistry(noDataplane, noAgent, { fence }, deployer, { reach, follow: noRollouts.follow });
}

function openApi(folder: NodeFolder, member: MemberNode, log: Log): ControlApi {
  const nodes = clusterNodes(member.membership, systemClock);
  const api: ControlApi = createControlApi({
    registry: member.registry,
    reader: member.reader,
    historian: member.historian,
    ask: (command) => member.host.ask(command),
    openStream: ({ node, path }) => member.links.stream(node, path),
    sendInput: (place, offset, bytes) => sendIncoming(member.links, place, offset, bytes),
    readOutput: async ({ node, path }) => text(await member.links.get(node, path)),
    principals: openTokenFile({
      path: join(folder.path, 'tokens.json'),
      log,
      clock: systemClock,
      isRevoked: (name, issuedMs) => member.membership.revocations.isRevoked(`token:${name}`, issuedMs),
    }),
    nodes,
    secrets: openSeal(folder.path),
    clock: member.clock,
    random: member.random,
    log,
    node: folder.config.node,
    version,
    limits: folder.config.limits.api ?? {},
    delayMs: () => member.delay.lastingMs(),
    metrics: async () => {
      const own = metricsText({ ...processFigures(member.delay), ...api.figures() });
      const read = async (node: string, path: string, signal: AbortSignal) =>
        text(await member.links.get(node, path, signal));
      return own + nodeMetrics(nodes) + (await volumeMetrics(nodes, read));
    },
    cookieKey: cookieKeyOf(folder),
    logouts: openLogoutFile({ path: join(folder.path, 'logouts.json'), clock: member.clock, log }),
    routes: createInspectorRoutes({
      registry: member.registry,
      // Shared by the clusters of one checkout, so that pages are bundled and charts are laid out only once.
      cacheFolder: process.env['PHOTON_CACHE'] ?? join(folder.path, 'pages'),
      log,
      title: `photoncloud ${folder.config.cluster}`,
      scopeWord: 'tenant',
      ahead: true,
    }),
  });
  return api;
}

/** The key that signs cookies. It is kept in a file so that open pages stay logged in when this process restarts. */
function cookieKeyOf(folder: NodeFolder): Buffer {
  const path = join(folder.path, 'cookie.key');
  if (!existsSync(path)) writeFileSync(path, randomBytes(32), { mode: 0o600 });
  return readFileSync(path);
}

/** @returns a function that stops listening */
async function listenApi(
  folder: NodeFolder,
  listener: Listener,
  api: ControlApi,
  certificate: NodeCertificate,
): Promise<() => void> {
  const { config } = folder;
  const { maxIdleSockets, authTimeoutMs } = { ...defaultApiLimits, ...config.limits.api };
  const waits = { handshakeTimeout: authTimeoutMs, headersTimeout: authTimeoutMs, requestTimeout: 2 * authTimeoutMs };
  const times = { ...waits, connectionsCheckingInterval: authTimeoutMs };
  const open = createServer({ ...certificate.tls, ...tlsVersion, ...times });
  certificate.onChange((tls) => open.setSecureContext({ ...tls, ...tlsVersion }));
  api.attach(open);
  const provenBy = 'upgrade';
  const clock = systemClock;
  const door = createSocketDoor({ server: open, provenBy, maxIdleSockets, firstByteMs: authTimeoutMs, clock });
  await door.listen(listener);
  const local = createPlainServer();
  api.attach(local);
  const socketPath = join(folder.path, apiSocketName);
  // The folder is locked by us, so an existing socket was left by an earlier process.
  if (existsSync(socketPath)) rmSync(socketPath);
  await new Promise<void>((resolve, fail) => {
    local.once('error', fail);
    local.listen(socketPath, resolve);
  });
  return () => {
    door.close();
    open.close();
    local.close();
  };
}
