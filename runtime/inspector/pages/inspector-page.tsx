/** The entry of the bundle: opens the session, connects, shows the pages. */
import { browserSocketFactory } from '../../client/browser-socket.ts';
import { PhotonError } from '../../contract/errors.ts';
import { createClientFeed } from './client-feed.ts';
import { showNotice, showPages } from './page-root.tsx';
import { openSession, ticketOf } from './session-gate.ts';

async function start(): Promise<void> {
  await openSession();
  const address = new URL('/api', location.href);
  address.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
  showPages(createClientFeed({ url: address.href, openSocket: browserSocketFactory, ticket: ticketOf }));
}

start().catch((error: unknown) => {
  const reason = error instanceof PhotonError ? error.record.message : String(error);
  showNotice(`The inspector could not be opened: ${reason}`);
});
