/** Shows the page that belongs to the address, also after the back and forward buttons. */
import { render } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { ActorList } from './actor-list.tsx';
import { ActorPage } from './actor-page.tsx';
import type { InspectorFeed } from './inspector-feed.ts';
import { pageTitle } from './page-frame.tsx';
import { useHealth } from './page-hooks.ts';
import { routeOf } from './page-route.ts';

function Notice(props: { text: string }) {
  return (
    <div class="notice" role="alert">
      <strong>{pageTitle()}</strong>
      <p>{props.text}</p>
    </div>
  );
}

function PageRoot(props: { feed: InspectorFeed }) {
  const [path, setPath] = useState(location.pathname);
  useEffect(() => {
    const moved = (): void => setPath(location.pathname);
    addEventListener('popstate', moved);
    return () => removeEventListener('popstate', moved);
  }, []);
  const health = useHealth(props.feed);
  const seen = useRef(false);
  if (health.state === 'live') seen.current = true;
  // After a page was shown, it stays readable; the bar says that it is no longer updated.
  if (health.state === 'refused' && !seen.current) return <Notice text={health.reason} />;
  const route = routeOf(path);
  if (route.page === 'actor')
    return <ActorPage key={route.id} feed={props.feed} id={route.id} version={route.version} />;
  return <ActorList feed={props.feed} />;
}

export function showPages(feed: InspectorFeed): void {
  const root = document.getElementById('inspector');
  if (root !== null) render(<PageRoot feed={feed} />, root);
}

/** Shows a message instead of the pages, when there is no session or the script fails to start. */
export function showNotice(text: string): void {
  const root = document.getElementById('inspector');
  if (root !== null) render(<Notice text={text} />, root);
}
