/**
 * The process of a run and our one connection to it. QEMU is found by its pidfile and by the path of that pidfile in
 * its own command line; no pid is believed without it. Called by the other files of this folder.
 * Promise: one connection per incarnation whatever asks (QEMU serves one client per socket), made anew when it broke.
 */
import { z } from 'zod';
import { commandLineOf, findProcesses, programOf, readPidFile, seeProcess } from '../process-sight.ts';
import type { ProcessSight } from '../process-sight.ts';
import type { IncarnationPlace } from './qemu-folder.ts';
import { QmpClient } from './qmp-client.ts';

const statusSchema = z.object({ status: z.string(), running: z.boolean() });
export const qmpAnswerMs = 2000;

const isOf = (place: IncarnationPlace, words: readonly string[]): boolean => words.includes(place.pidFile);

/** A process that ends loses its command line first and its files (taps, disks) last. */
async function isDying(pid: number): Promise<boolean> {
  return (await commandLineOf(pid)).length === 0 && (await programOf(pid)).startsWith('qemu-system');
}

/** @param thorough also look through all processes: a QEMU that was just forked has no pidfile yet. */
export async function findIncarnation(place: IncarnationPlace, thorough = false): Promise<ProcessSight | null> {
  const pid = await readPidFile(place.pidFile);
  if (pid !== null && (isOf(place, await commandLineOf(pid)) || (await isDying(pid)))) return seeProcess(pid);
  if (!thorough) return null;
  const [found] = await findProcesses((words) => isOf(place, words));
  return found ?? null;
}

export class IncarnationSessions {
  readonly #clients = new Map<string, Promise<QmpClient>>();

  /** @throws unknown `qmp_timeout`, `qmp_closed` */
  client(place: IncarnationPlace): Promise<QmpClient> {
    const known = this.#clients.get(place.id);
    if (known !== undefined) return known;
    const connecting = QmpClient.connect(place.agentSocket, qmpAnswerMs);
    this.#clients.set(place.id, connecting);
    const forget = (): void => {
      if (this.#clients.get(place.id) === connecting) this.#clients.delete(place.id);
    };
    connecting.then((client) => client.onClose(forget), forget);
    return connecting;
  }

  async status(place: IncarnationPlace): Promise<string> {
    const client = await this.client(place);
    return statusSchema.parse(await client.execute('query-status', {}, qmpAnswerMs)).status;
  }

  async close(): Promise<void> {
    const clients = await Promise.allSettled(this.#clients.values());
    for (const client of clients) if (client.status === 'fulfilled') client.value.close();
  }
}
