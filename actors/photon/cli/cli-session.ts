/**
 * One run of the CLI: its connection, its tenant, and the text and exit code of a failure.
 * The connection is described by a client file that `photon init` made (`--as FILE` or PHOTON_CLIENT): url or socket,
 * token, CA.
 */
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { connectPhoton, type PhotonClient } from '@photoncloud/runtime/client/client';
import { PhotonError, describeCause, reject, type ErrorRecord } from '@photoncloud/runtime/contract/errors';
import { openConsole, type ConsoleListener, type ConsoleSocket } from '@photoncloud/runtime/client/node-console';
import { nodeSocketFactory } from '@photoncloud/runtime/client/node-socket';
import { cleanLine } from '@photoncloud/runtime/contract/shown-text';
import { z } from 'zod';
import { callerPath } from './cli-options.ts';

/** Documented in `photon --help`. */
export const exitCodes = { ok: 0, refused: 1, usage: 2, notFound: 3, unknown: 4, unreachable: 5, differs: 6 } as const;

const clientFileSchema = z.strictObject({
  url: z.string(),
  token: z.string(),
  /** Path relative to the client file. */
  caFile: z.string().optional(),
  /** Path of the unix socket of a controller on the same computer, used instead of the network. */
  socketPath: z.string().optional(),
  tenant: z.string().optional(),
  /** Where a browser reaches the inspector, when that is not the address in `url`: `http://127.0.0.1:40123`. */
  browserUrl: z.string().optional(),
});

export interface SessionOptions {
  readonly as?: string;
  readonly tenant?: string;
  /** `--timeout` of the command, which bounds the time to connect too. */
  readonly timeoutS?: number;
}

export interface Session {
  readonly client: PhotonClient;
  /** @throws rejection `tenant_needed` when none of option, environment, client file and token names one */
  tenant(): string;
  /** @param grant as `actor.console` has answered */
  openConsole(grant: { readonly path: string; readonly token: string }, listener: ConsoleListener): ConsoleSocket;
  /** The same, or undefined. */
  readonly tenantOrNone: string | undefined;
  /** @throws rejection `address_needed` when the client file names no address that a browser can reach */
  browserUrl(): string;
  close(): void;
}

function clientOf(path: string): z.infer<typeof clientFileSchema> {
  try {
    return clientFileSchema.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch (error) {
    throw reject(
      'file_unreadable',
      `${path} is not a client file (${describeCause(error)}); photon init makes client files`,
    );
  }
}

const connectMs = 10_000;

export async function openSession(options: SessionOptions): Promise<Session> {
  const path = options.as ?? process.env['PHOTON_CLIENT'] ?? '';
  if (path === '') {
    throw new PhotonError(
      'rejection',
      'client_needed',
      'name a client file: --as FILE, or PHOTON_CLIENT in the environment',
    );
  }
  const file = clientOf(callerPath(path));
  const base = dirname(callerPath(path));
  const way = {
    ...(file.caFile === undefined ? {} : { ca: readFileSync(resolve(base, file.caFile), 'utf8') }),
    ...(file.socketPath === undefined ? {} : { socketPath: resolve(base, file.socketPath) }),
  };
  const client = await connectPhoton({
    url: file.url,
    token: file.token,
    connectTimeoutMs: Math.min(connectMs, (options.timeoutS ?? Infinity) * 1_000),
    openSocket: nodeSocketFactory(way),
  });
  const own = client.principal().scopes;
  const tenant =
    options.tenant ??
    process.env['PHOTON_TENANT'] ??
    file.tenant ??
    (own !== '*' && own.length === 1 ? own[0] : undefined);
  return {
    client,
    openConsole: (grant, listener) => openConsole(way, file.url, grant, listener),
    tenantOrNone: tenant,
    browserUrl: () => browserUrlOf(file, path),
    tenant() {
      if (tenant !== undefined) return tenant;
      throw new PhotonError('rejection', 'tenant_needed', 'this token serves several tenants: name one with -t TENANT');
    },
    close: () => client.close(),
  };
}

function browserUrlOf({ url, socketPath, browserUrl }: z.infer<typeof clientFileSchema>, path: string): string {
  if (browserUrl !== undefined) return browserUrl.replace(/\/$/, '');
  if (socketPath === undefined) return url.replace(/^ws/, 'http').replace(/\/api$/, '');
  const text = `${path} names a socket and no address for a browser; add browserUrl: "https://HOST:PORT" to it`;
  throw new PhotonError('rejection', 'address_needed', text);
}

const usageCodes = new Set([
  'file_unreadable',
  'name_invalid',
  'no_such_kind',
  'no_such_state',
  'no_such_host',
  'host_hidden',
]);

/** The text that a failed run prints, and its exit code. */
export function explain(error: unknown): { readonly text: string; readonly exitCode: number } {
  if (!(error instanceof PhotonError)) {
    const cause = error instanceof Error ? error : new Error(String(error));
    return { text: `photon: ${cleanLine(cause.message)}`, exitCode: exitCodes.refused };
  }
  const { code, group, message, issues = [], retryAfterMs } = error.record;
  // The server's message names API methods, and often already contains the issue.
  const shown = cleanLine(message.replaceAll('actor.list', 'photon list'));
  // An issue that says the same as the message tells only where.
  const issueLines = issues.map(({ path, message: why }) =>
    cleanLine(why === message ? `at ${path}` : `${path}: ${why}`),
  );
  const lines = [
    `photon: ${shown} (${code})`,
    ...issueLines.filter((line) => !shown.includes(line)).map((line) => `  ${line}`),
  ];
  if (retryAfterMs !== undefined) lines.push(`  try again in ${Math.ceil(retryAfterMs / 1_000)} s`);
  if (code === 'not_accepted') lines.push('  photon describe shows its state, photon events its history');
  const isWait = code === 'wait_timeout';
  if (isWait) lines.push('  the change goes on without this command; wait longer with --timeout or with photon wait');
  if (group === 'unknown' && !isWait)
    lines.push('  the change may have been made: run the same command again, nothing is done twice');
  return { text: lines.join('\n'), exitCode: exitCodeOf(error.record) };
}

function exitCodeOf({ code, group }: ErrorRecord): number {
  if (code === 'not_found') return exitCodes.notFound;
  if (code === 'unreachable' || code === 'store_unreachable') return exitCodes.unreachable;
  if (usageCodes.has(code) || code.endsWith('_needed')) return exitCodes.usage;
  return group === 'unknown' ? exitCodes.unknown : exitCodes.refused;
}
