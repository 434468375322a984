/**
 * The sockets that the starter of this process holds for it, after the protocol of sd_listen_fds(3), which systemd
 * and `photon supervise` speak: LISTEN_FDS is their number, from descriptor 3 on, LISTEN_FDNAMES their names,
 * LISTEN_PID the process they are meant for. Node itself has marked them close-on-exec when it started, so no program
 * that this process starts inherits them; here the variables are taken out, so that none believes it did. Called
 * once, before anything else is started, by node-process.ts.
 */
import { PhotonError } from '../contract/errors.ts';

/** The first one, after standard input, output and error. */
export const firstInherited = 3;

const variables = ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES'];

const mismatch = (text: string): PhotonError =>
  new PhotonError('defeat', 'listener_mismatch', `${text}; correct what starts this process`);

/**
 * @param environment of this process; what speaks of descriptors is removed from it
 * @returns descriptors by name; empty when none are meant for this process
 * @throws PhotonError defeat `listener_mismatch`
 */
export function takeInherited(
  environment: Record<string, string | undefined>,
  pid: number,
): ReadonlyMap<string, number> {
  const [forPid, count, names] = variables.map((name) => environment[name]);
  for (const name of variables) delete environment[name];
  if (count === undefined || forPid !== String(pid)) return new Map();
  const given = (names ?? '').split(':');
  if (!/^\d{1,3}$/.test(count) || Number(count) !== given.length)
    throw mismatch(`LISTEN_FDS is ${count}, and LISTEN_FDNAMES has the names ${names ?? 'of none'}`);
  if (new Set(given).size !== given.length) throw mismatch(`LISTEN_FDNAMES has a name twice: ${names}`);
  return new Map(given.map((name, at) => [name, firstInherited + at]));
}
