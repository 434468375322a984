/**
 * Authentication of a page. The secret of a link `/open#<secret>` is exchanged once for a session cookie that scripts
 * cannot read; for every connection the page then gets a one-use ticket. Every failure is a PhotonError, so that the
 * client knows whether a retry can help. Called by inspector-page.tsx.
 */
import { retryAfterMsOf } from '../../client/wire-error.ts';
import { PhotonError } from '../../contract/errors.ts';

/**
 * Uses the secret in the address, if there is one; removes it from the address and the browser history before.
 * @throws PhotonError rejection `unauthenticated`, fault `unreachable`
 */
export async function openSession(): Promise<void> {
  const secret = location.hash.slice(1);
  if (location.pathname !== '/open') return;
  history.replaceState(null, '', '/');
  if (secret !== '') await post('/api/session', { secret });
}

/** @throws PhotonError rejection `unauthenticated`, fault `unreachable` */
export async function ticketOf(): Promise<string> {
  const answer = await post('/api/ticket', {});
  const { ticket } = (await answer.json()) as { readonly ticket: string };
  return ticket;
}

async function post(path: string, body: unknown): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, {
      method: 'POST',
      credentials: 'same-origin',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    });
  } catch (error) {
    throw new PhotonError('fault', 'unreachable', 'The node does not answer; the page tries again.', { cause: error });
  }
  if (response.ok) return response;
  const why = await reasonOf(response);
  if (response.status === 401 || response.status === 403) throw new PhotonError('rejection', 'unauthenticated', why);
  const retryAfterMs = retryAfterMsOf(response.headers.get('retry-after'), Date.now());
  const text = `The node answers ${response.status}: ${why}; the page tries again.`;
  throw new PhotonError('fault', 'unreachable', text, retryAfterMs === undefined ? {} : { retryAfterMs });
}

async function reasonOf(response: Response): Promise<string> {
  const text = await response.text();
  try {
    const { error } = JSON.parse(text) as { readonly error?: unknown };
    return typeof error === 'string' ? error : text;
  } catch {
    // Not JSON: the answer of a proxy, whose text is then the reason.
    return text === '' ? response.statusText : text;
  }
}
