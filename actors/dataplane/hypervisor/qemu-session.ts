/**
 * The QEMU process of a run and our connection to it. The process is found by its pidfile; the pid is accepted only if
 * the process's command line contains the path of that pidfile. Called by the other files of this folder.
 * Promise: one connection per incarnation, shared by all callers because QEMU serves one client per socket, and opened
 * again after it broke.
 */
import { z } from 'zod';
import { commandLineOf, findProcesses, programOf, readPidFile, identifyProcess } from '../process-lookup.ts';
import type { ProcessIdentity } from '../process-lookup.ts';
import type { IncarnationPaths } from './qemu-folder.ts';
import { QmpClient } from './qmp-client.ts';

const statusSchema = z.object({ status: z.string(), running: z.boolean() });
export const qmpAnswerMs = 2000;

const isOf = (paths: IncarnationPaths, words: readonly string[]): boolean => words.includes(paths.pidFile);

/** Whether the pid is a QEMU that is ending: it has lost its command line, but still has taps and disks open. */
async function isDying(pid: number): Promise<boolean> {
  return (await commandLineOf(pid)).length === 0 && (await programOf(pid)).startsWith('qemu-system');
}

/** @param thorough also search all processes: a QEMU that was just forked has no pidfile yet. */
export async function findIncarnation(paths: IncarnationPaths, thorough = false): Promise<ProcessIdentity | null> {
  const pid = await readPidFile(paths.pidFile);
  if (pid !== null && (isOf(paths, await commandLineOf(pid)) || (await isDying(pid)))) return identifyProcess(pid);
  if (!thorough) return null;
  const [found] = await findProcesses((words) => isOf(paths, words));
  return found ?? null;
}

export class IncarnationSessions {
  readonly #clients = new Map<string, Promise<QmpClient>>();

  /** @throws unknown `qmp_timeout`, `qmp_closed` */
  client(paths: IncarnationPaths): Promise<QmpClient> {
    const known = this.#clients.get(paths.id);
    if (known !== undefined) return known;
    const connecting = QmpClient.connect(paths.agentSocket, qmpAnswerMs);
    this.#clients.set(paths.id, connecting);
    const forget = (): void => {
      if (this.#clients.get(paths.id) === connecting) this.#clients.delete(paths.id);
    };
    connecting.then((client) => client.onClose(forget), forget);
    return connecting;
  }

  async status(paths: IncarnationPaths): Promise<string> {
    const client = await this.client(paths);
    return statusSchema.parse(await client.execute('query-status', {}, qmpAnswerMs)).status;
  }

  async close(): Promise<void> {
    const clients = await Promise.allSettled(this.#clients.values());
    for (const client of clients) if (client.status === 'fulfilled') client.value.close();
  }
}
