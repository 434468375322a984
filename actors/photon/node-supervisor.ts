/**
 * `photon supervise`: holds the addresses of a node where no systemd does, and keeps the node's program running
 * behind them. Reads what is declared, then makes way for node-supervisor-main.ts, which stays and needs a fifth of
 * the memory.
 */
import { join } from 'node:path';
import { PhotonError, reject } from '@photoncloud/runtime/contract/errors';
import type { SuperviseRequest } from './node-supervisor-main.ts';
import { openNodeFolder } from './node-config.ts';
import { declaredListeners } from './node-listeners.ts';

const holder = join(import.meta.dirname, 'node-supervisor-main.ts');

/**
 * Continues as the holder, in the same process; returns only by an error.
 * @throws PhotonError rejection `nothing_held`; defeat `node_folder`; bug `no_execve`
 */
export function superviseNode(path: string): void {
  const { config } = openNodeFolder(path);
  const { role } = config;
  const listeners = declaredListeners(config);
  if (listeners.length === 0)
    throw reject('nothing_held', `${path} is of a ${role}, which opens its addresses itself; run photon ${role}`);
  // By the path that was called, which may be a link that the next release changes.
  const program = [process.execPath, ...process.execArgv, process.argv[1] ?? '', role, '--dir', path];
  const request: SuperviseRequest = { listeners, program };
  if (process.execve === undefined)
    throw new PhotonError('bug', 'no_execve', `Node ${process.version} cannot replace a process here`);
  process.execve(process.execPath, [process.execPath, holder, JSON.stringify(request)], process.env);
}
