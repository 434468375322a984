/** The parts of every page: the bar with the connection's health, the theme switch, the list of keys. */
import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { FeedHealth, InspectorFeed } from './inspector-feed.ts';
import { goTo } from './page-route.ts';
import { useKeys } from './key-bindings.ts';
import { useHealth, useNow } from './page-hooks.ts';
import { ageText, timeText } from './time-text.ts';
import { meaningSigns, meaningWords, type Meaning } from '../state-meaning.ts';

export const pageTitle = (): string => document.body.dataset.title ?? 'inspector';
export const scopeWord = (): string => document.body.dataset.scopeWord ?? 'scope';

/** A link to another page of the inspector, without a reload. */
export function PageLink(props: { path: string; class?: string; children: ComponentChildren }) {
  return (
    <a
      href={props.path}
      class={props.class}
      onClick={(event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
        event.preventDefault();
        goTo(props.path);
      }}
    >
      {props.children}
    </a>
  );
}

const healthText = (health: FeedHealth): string => {
  if (health.state === 'live') return '● live';
  if (health.state === 'connecting') return health.asOf === undefined ? '◌ connecting' : '◌ reconnecting';
  return '✕ ended';
};

/** Since when the page gets no news; null while it does. */
export const staleSince = (health: FeedHealth): number | null =>
  health.state === 'live' ? null : (health.asOf ?? null);

/** Says that the page shows the past, and why; nothing while the server answers. */
function StaleBanner(props: { feed: InspectorFeed; health: FeedHealth }) {
  const { health } = props;
  const now = useNow(props.feed);
  if (health.state === 'live') return null;
  const { asOf, reason } = health;
  if (asOf === undefined && reason === undefined) return null;
  const next = health.state === 'refused' ? 'Open a new link to go on.' : 'Trying again.';
  return (
    <div class={`stale-banner ${health.state}`} role="alert">
      <strong>
        <span aria-hidden="true">⚠{'\uFE0E'} </span>
        {asOf === undefined
          ? 'No connection to the server.'
          : `Not live: shown as of ${timeText(asOf)}, ${ageText(now - asOf)} ago.`}
      </strong>{' '}
      {next} {reason !== undefined && <span class="muted">({reason})</span>}
    </div>
  );
}

const themes = ['auto', 'light', 'dark'] as const;

function ThemeSwitch() {
  const [theme, setTheme] = useState<string>(localStorage.getItem('theme') ?? 'auto');
  useEffect(() => {
    localStorage.setItem('theme', theme);
    if (theme === 'auto') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
  }, [theme]);
  const next = themes[(themes.findIndex((name) => name === theme) + 1) % themes.length] ?? 'auto';
  return (
    <button onClick={() => setTheme(next)} title={`Colours: ${theme}; switch to ${next}`}>
      {theme}
    </button>
  );
}

export function PageBar(props: {
  feed: InspectorFeed;
  children?: ComponentChildren;
  keys: readonly (readonly [string, string])[];
}) {
  const dialog = useRef<HTMLDialogElement>(null);
  const showKeys = (): void => dialog.current?.showModal();
  useKeys({ '?': showKeys });
  const health = useHealth(props.feed);
  const tone = health.state === 'live' ? 'good' : 'bad';
  return (
    <header>
      <div class="bar">
        <PageLink path="/" class="brand">
          {pageTitle()}
        </PageLink>
        {props.children}
        <span class="space" />
        <span class={`link ${tone}`} role="status">
          {healthText(health)}
        </span>
        <ThemeSwitch />
        <button onClick={showKeys} aria-label="Keys">
          ?
        </button>
        <dialog ref={dialog} aria-label="Keys">
          <strong>Keys</strong>
          <div class="keys">
            {props.keys.map(([key, meaning]) => [
              <span>
                {key.split(' ').map((part) => (
                  <>
                    <kbd>{part}</kbd>{' '}
                  </>
                ))}
              </span>,
              <span>{meaning}</span>,
            ])}
          </div>
          <form method="dialog">
            <button autofocus>Close</button>
          </form>
        </dialog>
      </div>
      <StaleBanner feed={props.feed} health={health} />
    </header>
  );
}

/** The symbols for what an actor waits for; shown together with the word. */
export const waitingGlyphs = { operator: '☞', timer: '◷', effect: '⚙\uFE0E', event: '⇢' } as const;

/** The sign of a meaning; the state's name stands beside it. */
export function MeaningSign(props: { meaning: Meaning }) {
  return (
    <span class={`sign ${props.meaning}`} role="img" aria-label={meaningWords[props.meaning]}>
      {meaningSigns[props.meaning]}
    </span>
  );
}
