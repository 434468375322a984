/**
 * One check of one backend, from the namespace that the process is in. A result is a sentence and whether the backend
 * passed; nothing that a backend does is an error. Called by probe-main.ts.
 */
import { request } from 'node:http';
import { connect } from 'node:net';

export interface ProbeRequest {
  readonly id: number;
  readonly protocol: 'tcp' | 'http';
  readonly address: string;
  readonly port: number;
  /** Path and query of the GET. */
  readonly path: string;
  readonly timeoutMs: number;
}

export interface ProbeResult {
  readonly id: number;
  readonly passed: boolean;
  readonly detail: string;
}

type Outcome = Omit<ProbeResult, 'id'>;

const reasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection reset',
  EHOSTUNREACH: 'no answer to ARP',
  ENETUNREACH: 'no route',
  HPE_HEADER_OVERFLOW: 'the head of its answer is too long',
};

function reasonOf(error: unknown): string {
  const { code = '' } = error as { readonly code?: string };
  if (code.startsWith('HPE_')) return reasons[code] ?? 'its answer is not HTTP';
  return reasons[code] ?? (code === '' ? 'the connection failed' : `the connection failed with ${code}`);
}

export function probe(ask: ProbeRequest): Promise<ProbeResult> {
  const { id, protocol, timeoutMs } = ask;
  return new Promise((resolve) => {
    let stop = (): void => {};
    const timer = setTimeout(
      () => end({ passed: false, detail: `no answer within ${timeoutMs / 1_000} s` }),
      timeoutMs,
    );
    let ended = false;
    const end = (outcome: Outcome): void => {
      if (ended) return;
      ended = true;
      clearTimeout(timer);
      stop();
      resolve({ id, ...outcome });
    };
    stop = protocol === 'tcp' ? probeTcp(ask, end) : probeHttp(ask, end);
  });
}

/** @returns ends the connection */
function probeTcp({ address, port }: ProbeRequest, end: (outcome: Outcome) => void): () => void {
  const socket = connect({ host: address, port });
  socket.on('connect', () => end({ passed: true, detail: 'connection accepted' }));
  socket.on('error', (error) => end({ passed: false, detail: reasonOf(error) }));
  return () => socket.destroy();
}

/** The body is not read. */
function probeHttp({ address, port, path }: ProbeRequest, end: (outcome: Outcome) => void): () => void {
  const headers = { 'user-agent': 'photoncloud health check', connection: 'close' };
  const asked = request({ host: address, port, path, headers, agent: false, maxHeaderSize: 16_384 });
  asked.on('response', ({ statusCode = 0 }) =>
    end({ passed: statusCode >= 200 && statusCode < 400, detail: `status ${statusCode}` }),
  );
  asked.on('error', (error) => end({ passed: false, detail: reasonOf(error) }));
  asked.end();
  return () => asked.destroy();
}
