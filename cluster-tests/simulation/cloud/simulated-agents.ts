/**
 * Agents of simulated guests, which freeze the file systems of a guest for a snapshot and thaw them. One answers while
 * its guest runs, and not always; a guest whose worker is killed meanwhile stays frozen until somebody asks it again.
 * Called by simulated-snapshots.ts, simulated-incarnations.ts and simulated-migrations.ts.
 */
import { isAlive, type QemuProcess } from './simulated-kernel.ts';
import type { SimulatedSite } from './simulated-site.ts';

const thawEveryMs = 5_000;
/** The longest time for which a guest is frozen when nothing comes between. */
const frozenMs = 300;

export const agentAnswers = ({ spec, status, hung, stalled }: QemuProcess): boolean =>
  spec.guestAgent === true && status === 'running' && !hung && !stalled;

/** @returns whether it was frozen for all of the work */
export async function whileFrozen(site: SimulatedSite, guest: QemuProcess, work: () => void): Promise<boolean> {
  const { kernel, options } = site;
  guest.frozen = true;
  kernel.changed();
  await site.pause(options.random.fraction() * frozenMs);
  // It may have been reset or have ended meanwhile.
  const isFrozen = guest.frozen && isAlive(guest);
  work();
  const hasThawed = agentAnswers(guest) && options.random.fraction() < 0.8;
  if (hasThawed) guest.frozen = false;
  return isFrozen && hasThawed;
}

/** @returns whether no guest of these is frozen now */
export function thawLeft(guests: Iterable<QemuProcess>): boolean {
  let areThawed = true;
  for (const guest of guests) {
    if (agentAnswers(guest)) guest.frozen = false;
    if (isAlive(guest) && guest.frozen) areThawed = false;
  }
  return areThawed;
}

/** Until the signal aborts, or the process has ended. */
export async function keepThawing(
  site: SimulatedSite,
  find: () => QemuProcess | undefined,
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    const guest = find();
    if (signal.aborted || !isAlive(guest) || guest.spec.guestAgent !== true) return;
    thawLeft([guest]);
    await site.pause(thawEveryMs);
  }
}
