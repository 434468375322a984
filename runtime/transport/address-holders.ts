/**
 * Which processes have a TCP address of this network namespace, read from /proc: for the error of an address that is
 * taken, which names them, and for the descriptor of a socket that this process has opened itself. Reads the
 * descriptors of all processes, so it is called only when a listener is opened or cannot be.
 */
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';

export interface AddressHolder {
  readonly pid: number;
  readonly descriptor: number;
  /** Its command line, shortened. */
  readonly program: string;
}

const listening = '0A';
const programLength = 100;

interface SocketRow {
  readonly inode: string;
  readonly isListening: boolean;
}

/** As /proc/net/tcp has it: each byte of the address in reverse, in hexadecimal, then the port. */
function hexOf(address: string, listenPort: number): string {
  const bytes = address.split('.').map((part) => Number(part).toString(16).padStart(2, '0'));
  return `${bytes.toReversed().join('')}:${listenPort.toString(16).padStart(4, '0')}`.toUpperCase();
}

/** Sockets that keep others from listening at an IPv4 address: those at the address, and those at all addresses. */
function socketsAt(address: string, listenPort: number): SocketRow[] {
  const nowhere = hexOf('0.0.0.0', listenPort);
  const all6 = `${'0'.repeat(24)}${nowhere}`;
  const wanted = new Set([hexOf(address, listenPort), nowhere, all6]);
  return ['tcp', 'tcp6'].flatMap((table) =>
    read(`/proc/self/net/${table}`)
      .split('\n')
      .slice(1)
      .map((line) => line.trim().split(/\s+/))
      .filter(([, local = '']) => wanted.has(local))
      .map((fields) => ({ inode: fields[9] ?? '0', isListening: fields[3] === listening })),
  );
}

/** @returns what the file contains; nothing when it is gone or not for us, as with a process that has just ended */
function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function entriesOf(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

function targetOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

function programOf(pid: string): string {
  const argv = read(`/proc/${pid}/cmdline`).split('\0').join(' ').trim();
  const program = argv === '' ? read(`/proc/${pid}/comm`).trim() : argv;
  return program.length > programLength ? `${program.slice(0, programLength)}...` : program;
}

/** @param pids whose descriptors are searched */
function holders(inodes: ReadonlySet<string>, pids: readonly string[]): AddressHolder[] {
  const found: AddressHolder[] = [];
  for (const pid of pids) {
    const folder = join('/proc', pid, 'fd');
    const descriptor = entriesOf(folder).find((one) => inodes.has(targetOf(join(folder, one))));
    if (descriptor !== undefined)
      found.push({ pid: Number(pid), descriptor: Number(descriptor), program: programOf(pid) });
  }
  return found;
}

/**
 * @returns the processes that have the address, or all addresses, with this port; of each one descriptor. Those that
 * listen; when none does, those with a connection that has it as its own end. Empty when this process may not see
 * them.
 */
export function holdersOf(address: string, listenPort: number): readonly AddressHolder[] {
  const rows = socketsAt(address, listenPort);
  const listeners = rows.filter((row) => row.isListening);
  const inodes = new Set((listeners.length > 0 ? listeners : rows).map(({ inode }) => `socket:[${inode}]`));
  return holders(
    inodes,
    entriesOf('/proc').filter((name) => /^\d+$/.test(name)),
  );
}

/** @returns the descriptor of the socket with which this process itself listens at the address */
export function ownDescriptor(address: string, listenPort: number): number | undefined {
  const rows = socketsAt(address, listenPort).filter((row) => row.isListening);
  return holders(new Set(rows.map(({ inode }) => `socket:[${inode}]`)), ['self'])[0]?.descriptor;
}

/** @returns who has the address, in words: `process 17 (redis-server *:6379)` */
export function nameHolders(address: string, listenPort: number): string {
  const found = holdersOf(address, listenPort);
  if (found.length === 0) return 'a process that this one cannot see (ask as root: ss -ltnp)';
  const names = found.slice(0, 3).map(({ pid, program }) => `process ${pid} (${program})`);
  return `${names.join(', ')}${found.length > names.length ? ` and ${found.length - names.length} more` : ''}`;
}
