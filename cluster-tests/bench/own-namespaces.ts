/**
 * Runs a program to its end in network, mount and process namespaces of its own, with a private /run: whatever it makes
 * there ends with it, and it ends with its parent. Used by the bare leg and by rows that need a kernel for themselves.
 */
import { spawn } from 'node:child_process';

const enter = `mount -t sysfs sysfs /sys && mount -t tmpfs tmpfs /run && exec "$@"`;

export interface InsideOptions {
  readonly environment?: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  /** Gets what the program writes to stderr while it runs. */
  readonly says?: (text: string) => void;
}

/** @returns its stdout @throws Error with its stderr on another status than 0, and when the time is over */
export async function runInNamespaces(argv: readonly string[], options: InsideOptions): Promise<string> {
  const flags = ['--net', '--mount', '--pid', '--fork', '--mount-proc', '--kill-child'];
  // unshare ignores SIGTERM while it waits, and must not outlive this process.
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', 'unshare', ...flags, 'bash', '-c', enter, 'bash', ...argv], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...options.environment },
    timeout: options.timeoutMs,
    killSignal: 'SIGKILL',
  });
  let output = '';
  let complaint = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => {
    complaint += chunk.toString();
    options.says?.(chunk.toString());
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject).once('close', resolve);
  });
  if (code !== 0) throw new Error(`failed (${code ?? `not within ${options.timeoutMs} ms`}): ${complaint.trim()}`);
  return output;
}
