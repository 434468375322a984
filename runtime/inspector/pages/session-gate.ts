/**
 * How a page proves who looks at it. A link `/open#<secret>` is traded once for a session cookie that scripts cannot
 * read; every connection then asks for a one-use ticket. Every failure is a PhotonError, so that the client knows
 * whether dialling again can help. Called by inspector-page.tsx.
 */
import { PhotonError } from '../../contract/errors.ts';

/**
 * Spends the secret of the address, if it bears one, and takes it out of the address and the history first.
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
    throw new PhotonError('fault', 'unreachable', 'The node does not answer; trying again.', { cause: error });
  }
  if (response.ok) return response;
  const why = await reasonOf(response);
  if (response.status === 401 || response.status === 403) throw new PhotonError('rejection', 'unauthenticated', why);
  throw new PhotonError('fault', 'unreachable', `The node answers ${response.status}: ${why}; trying again.`);
}

async function reasonOf(response: Response): Promise<string> {
  const text = await response.text();
  try {
    const { error } = JSON.parse(text) as { readonly error?: unknown };
    return typeof error === 'string' ? error : text;
  } catch {
    // Not JSON: a relay in between speaks plain text, which is then the reason.
    return text === '' ? response.statusText : text;
  }
}
