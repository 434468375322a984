/** A controller node: hosts sharded actors, serves the control API and the inspector. Runs without privileges. */
import { createServer as createPlainServer, type Server as PlainServer } from 'node:http';
import { createServer, type Server } from 'node:https';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { clusterId, hostId } from '@photoncloud/machines/values/identifiers';
import { describeCause } from '@photoncloud/runtime/contract/errors';
import { actorId } from '@photoncloud/runtime/contract/identifiers';
import type { Log } from '@photoncloud/runtime/contract/log';
import { createControlApi, type ControlApi } from '@photoncloud/runtime/control-api/control-api';
import { openTokenFile } from '@photoncloud/runtime/control-api/token-file';
import type { Host } from '@photoncloud/runtime/hosting/host';
import { watchMemory } from '@photoncloud/runtime/journal/store-memory';
import { systemClock } from '@photoncloud/runtime/hosting/system-clock';
import { createInspectorRoutes } from '@photoncloud/runtime/inspector/inspector-routes';
import { createRegistry } from '../registry.ts';
import { tellGone } from './fenced-host.ts';
import { joinAsMember, type JournalDecorator, type MemberNode } from './member-node.ts';
import { noAgent, noDataplane } from './no-dataplane.ts';
import type { NodeFolder } from './node-config.ts';
import type { RunningRole } from './node-process.ts';

/**
 * The control API's unix socket in the node's folder: for the CLI and the inspector on the same computer, root only.
 */
export const apiSocketName = 'api.sock';

const version = '0.1.0';

export interface ControllerOptions {
  readonly journal?: JournalDecorator;
}

/** Called at the start and again in each new era, because a store rollback may have removed the cluster actor. */
const openCluster = (host: Host, name: string): Promise<void> =>
  host.tell(actorId(clusterId), { type: 'cluster.open', name });

export async function startController(
  folder: NodeFolder,
  log: Log,
  options: ControllerOptions = {},
): Promise<RunningRole> {
  const { config } = folder;
  const member = await joinAsMember({
    folder,
    role: 'controller',
    log,
    registry: ({ fence }) => createRegistry(noDataplane, noAgent, { fence }),
    ...options,
    onEra: (_, host) => void openCluster(host, config.cluster),
    onHostShard: (grant, { host: inlet, reader, registry }) =>
      void tellGone({ grant, inlet, reader, registry, log }).catch((error: unknown) => {
        log.error(
          { shard: grant.shard, why: describeCause(error) },
          'host.gone could not be sent to the counterparts of a fenced host',
        );
      }),
    onNode: ({ event, node }, host) => {
      if (node.role !== 'worker' || event === 'joined') return;
      void host.tell(actorId(hostId(node.name)), { type: event === 'back' ? 'host.back' : 'host.silent' });
    },
  });
  await openCluster(member.host, config.cluster);
  const stopWatching = watchMemory({
    store: member.store,
    clock: systemClock,
    log,
    limits: config.limits.store ?? {},
    tell: (memory) => member.host.tell(actorId(clusterId), { type: 'store.memory', ...memory }),
  });
  const api = openApi(folder, member, log);
  const servers = await listenApi(folder, api);
  return {
    ended: member.failed,
    async stop() {
      stopWatching();
      await api.close();
      for (const server of servers) server.close();
      await member.stop();
    },
  };
}

function openApi(folder: NodeFolder, member: MemberNode, log: Log): ControlApi {
  return createControlApi({
    registry: member.registry,
    reader: member.reader,
    historian: member.historian,
    ask: (command) => member.host.ask(command),
    principals: openTokenFile({ path: join(folder.path, 'tokens.json'), log }),
    clock: systemClock,
    random: member.random,
    log,
    node: folder.config.node,
    version,
    limits: folder.config.limits.api ?? {},
    cookieKey: cookieKeyOf(folder),
    routes: createInspectorRoutes({
      registry: member.registry,
      // Shared by the clusters of one checkout, so that pages are bundled and charts are laid out only once.
      cacheFolder: process.env['PHOTON_CACHE'] ?? join(folder.path, 'pages'),
      log,
      title: `photoncloud ${folder.config.cluster}`,
      scopeWord: 'tenant',
    }),
  });
}

/** The key that signs cookies. It is kept in a file so that open pages stay logged in when this process restarts. */
function cookieKeyOf(folder: NodeFolder): Buffer {
  const path = join(folder.path, 'cookie.key');
  if (!existsSync(path)) writeFileSync(path, randomBytes(32), { mode: 0o600 });
  return readFileSync(path);
}

const listening = (server: Server | PlainServer, ...where: [string] | [number, string]): Promise<void> =>
  new Promise((resolve, fail) => {
    server.once('error', fail);
    if (where.length === 1) server.listen(where[0], resolve);
    else server.listen(where[0], where[1], resolve);
  });

async function listenApi(folder: NodeFolder, api: ControlApi): Promise<(Server | PlainServer)[]> {
  const { config, tls } = folder;
  const open = createServer({ ca: tls.ca, cert: tls.cert, key: tls.key, minVersion: 'TLSv1.3' });
  api.attach(open);
  await listening(open, config.apiListenPort, config.address);
  const local = createPlainServer();
  api.attach(local);
  const socketPath = join(folder.path, apiSocketName);
  // The folder is locked by us, so an existing socket was left by an earlier process.
  if (existsSync(socketPath)) rmSync(socketPath);
  await listening(local, socketPath);
  return [open, local];
}
