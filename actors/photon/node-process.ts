/**
 * Runs one node as one process: locks its folder and runs its role until a signal or a failure ends it.
 * Crash-only: correctness never depends on an orderly end; draining only makes a planned stop faster for other nodes.
 */
import { createLog } from '@photoncloud/runtime/telemetry/log';
import { PhotonError, describeCause } from '@photoncloud/runtime/contract/errors';
import type { Log } from '@photoncloud/runtime/contract/log';
import { startController, type ControllerOptions } from './controller-node.ts';
import { lockFolder } from './folder-lock.ts';
import { fileThreads } from './node-limits.ts';
import { openNodeFolder, type NodeConfig, type NodeFolder } from './node-config.ts';
import { nodeListeners, tellListeners } from './node-listeners.ts';
import { superviseStore } from './store-process.ts';
import { startWorker } from './worker-node.ts';

/** A running role. `ended` settles only when the role ends by itself, which is a failure. */
export interface RunningRole {
  readonly ended: Promise<void>;
  stop(): Promise<void>;
}

type StartRole = (folder: NodeFolder, log: Log, options: ControllerOptions) => RunningRole | Promise<RunningRole>;

const roles: Readonly<Record<NodeConfig['role'], StartRole>> = {
  store: superviseStore,
  controller: startController,
  worker: startWorker,
};

const signalled = (): Promise<string> =>
  new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve(signal));
  });

/** Ends the process with status 0 after a signal; rejects when the node cannot start or its role fails. */
export async function runNode(
  path: string,
  role: NodeConfig['role'],
  options: Omit<ControllerOptions, 'listeners'> = {},
): Promise<void> {
  // Before anything reads a file without waiting: then the threads are started.
  process.env['UV_THREADPOOL_SIZE'] ??= String(fileThreads);
  const folder = openNodeFolder(path);
  const { config } = folder;
  if (config.role !== role) {
    throw new PhotonError('rejection', 'wrong_role', `${path} is the folder of a ${config.role}, not of a ${role}`);
  }
  const listeners = nodeListeners(config, process.env, process.pid);
  const lock = await lockFolder(path);
  const log = createLog({}).child({ node: config.node });
  process.on('uncaughtException', (error) => {
    log.error(
      { why: describeCause(error), stack: error.stack },
      'a bug ends this process; its supervisor starts it again',
    );
    process.exit(70);
  });
  const asked = signalled();
  log.info({ role, address: config.address, pid: process.pid }, 'starting');
  tellListeners(listeners, log);
  const running = await roles[role](folder, log, { ...options, listeners });
  log.info({ role }, 'ready');
  const why = await Promise.race([asked, running.ended]);
  log.info({ why }, 'stopping');
  await running.stop();
  await lock.release();
  process.exit(0);
}
