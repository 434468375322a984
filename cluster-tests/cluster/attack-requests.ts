/**
 * What attackers and witnesses of attacks-main.ts have in common: HTTPS requests, and patience of a careful client. The
 * certificate authority of the cluster is in the environment of these programs (NODE_EXTRA_CA_CERTS).
 */
import type { Agent, IncomingHttpHeaders } from 'node:http';
import { request } from 'node:https';
import { setTimeout as pause } from 'node:timers/promises';
import { PhotonError } from '@photoncloud/runtime/contract/errors';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

export interface Asked {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  /** Default: a connection of its own. */
  readonly agent?: Agent;
}

const requestMs = 10_000;

/** @param url `https://...` @throws the socket's error, or one without an answer within 10 s */
export function ask(url: string, { method = 'GET', headers = {}, body, agent }: Asked = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asking = request(url, { method, headers, agent: agent ?? false, timeout: requestMs }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => (text += chunk.toString()));
      response.once('error', reject);
      response.once('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }));
    });
    asking.once('timeout', () => asking.destroy(new Error(`no answer from ${url} within ${requestMs} ms`)));
    asking.once('error', reject);
    asking.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

/** Tries again what may be tried again, as a careful client does. @throws the last error after `withinMs` */
export async function patiently<Result>(work: () => Promise<Result>, withinMs = 30_000): Promise<Result> {
  const endMs = performance.now() + withinMs;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      const isFinal = error instanceof PhotonError && !error.record.retryable;
      if (isFinal || performance.now() > endMs) throw error;
      await pause((error instanceof PhotonError ? error.record.retryAfterMs : undefined) ?? 50);
    }
  }
}

/**
 * @param given `{"token"}` or `{"secret"}`
 * @returns the cookie of the browser session @throws Error when it is refused
 */
export async function logIn(address: string, given: object): Promise<string> {
  const { status, headers } = await ask(`https://${address}/api/session`, { method: 'POST', body: given });
  if (status !== 204) throw new Error(`the login was answered ${status}`);
  return headers['set-cookie']?.[0]?.split(';', 1)[0] ?? '';
}

/** @returns undefined when it is refused */
export async function mintTicket(address: string, cookie: string, agent?: Agent): Promise<string | undefined> {
  const asked = { method: 'POST', headers: { cookie }, ...(agent === undefined ? {} : { agent }) };
  const { status, text } = await ask(`https://${address}/api/ticket`, asked);
  return status === 200 ? (JSON.parse(text) as { ticket: string }).ticket : undefined;
}
