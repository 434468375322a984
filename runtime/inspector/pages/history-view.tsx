/** The history of one actor, newest first. A step can be chosen, so that the chart shows it, and opened for details. */
import { useEffect, useRef } from 'preact/hooks';
import { askedText, eventText } from '../asked-text.ts';
import { stateText } from '../chart-trace.ts';
import { changesOf } from './context-diff.ts';
import type { HistoryRow } from './inspector-feed.ts';
import { PageLink } from './page-frame.tsx';
import { actorPath } from './page-route.ts';
import { ageText, clockText } from './time-text.ts';

export interface HistoryViewProps {
  readonly id: string;
  /** Oldest first. */
  readonly history: readonly HistoryRow[];
  readonly selected: number | null;
  readonly open: ReadonlySet<number>;
  readonly now: number;
  readonly onSelect: (version: number) => void;
  readonly onToggle: (version: number) => void;
}

const kindNotes = {
  transition: '',
  ignored: 'ignored: no transition matches',
  rejected: 'rejected',
  dropped: 'dropped: came too late',
  operated: '',
  upgraded: 'upgraded by a newer release:',
} as const;

/** Why an input caused no transition; for an operator verb, by whom it was sent and why. */
function noteOf({ kind, event, asked }: HistoryRow): string {
  if (event.type.startsWith('actor.'))
    return `by ${String(event['principal'] ?? '?')}: ${String(event['reason'] ?? '')}`;
  // A dropped input with entries in `asked`, which then contain the reason, became a dead letter.
  return kind === 'dropped' && asked.length > 0 ? 'could not be processed: a dead letter now' : kindNotes[kind];
}

export function HistoryView(props: HistoryViewProps) {
  // An input without a transition has no version of its own, so several rows may have the same version.
  const newestFirst = props.history
    .map((row, index) => <Entry key={`${row.version}.${index}`} row={row} {...props} />)
    .toReversed();
  return (
    <ol class="history" aria-label="History, newest first">
      {newestFirst}
      {newestFirst.length === 0 && <li class="panel muted">No history.</li>}
    </ol>
  );
}

function Entry(props: HistoryViewProps & { row: HistoryRow }) {
  const { row } = props;
  const element = useRef<HTMLLIElement>(null);
  const current = props.selected === row.version;
  const opened = props.open.has(row.version);
  useEffect(() => {
    if (current) element.current?.scrollIntoView({ block: 'nearest' });
  }, [current]);
  const from = stateText(row.from);
  const to = stateText(row.to);
  const note = noteOf(row);
  return (
    <li ref={element} class={`entry ${row.kind}`} aria-current={current}>
      <div
        class="row"
        onClick={() => {
          props.onSelect(row.version);
          if (current || !opened) props.onToggle(row.version);
        }}
      >
        <span class="muted number">{row.version}</span>
        <span class="event" title={row.event.type}>
          {eventText(row.event.type)}
        </span>
        <span class="muted" title={clockText(row.at)}>
          {ageText(props.now - row.at)} ago
        </span>
        <span class="way">
          {note !== '' && <strong>{note}</strong>}
          {from === to ? `stays in ${to}` : `${from} → ${to}`}
        </span>
        {row.asked.length > 0 && (
          <span class="asked">
            {row.asked.map((asked, index) => (
              <span key={index} class="tag" title={asked}>
                {askedText(asked)}
              </span>
            ))}
          </span>
        )}
      </div>
      {opened && <Detail {...props} />}
    </li>
  );
}

function Detail(props: HistoryViewProps & { row: HistoryRow }) {
  const { row } = props;
  const changes = changesOf(props.history, row.version);
  const text = (value: string | null | undefined) =>
    value === undefined ? (
      <span class="muted">not in the history shown</span>
    ) : value === null ? (
      <span class="muted">none</span>
    ) : (
      <pre>{value}</pre>
    );
  return (
    <div class="detail">
      <h3>Caused by</h3>
      <Cause cause={row.cause} />
      <h3>Context</h3>
      {changes.length === 0 ? (
        <span class="muted">unchanged</span>
      ) : (
        <table class="diff">
          <thead>
            <tr>
              <th>key</th>
              <th>− before</th>
              <th>+ after</th>
            </tr>
          </thead>
          <tbody>
            {changes.map((change) => (
              <tr key={change.key}>
                <td class="mono">{change.key}</td>
                <td class="gone">{text(change.before)}</td>
                <td class="came">{text(change.after)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <h3>Event</h3>
      <pre>{JSON.stringify(row.event, null, 1)}</pre>
      <p class="muted">
        {clockText(row.at)} · <PageLink path={actorPath(props.id, row.version)}>link to version {row.version}</PageLink>
      </p>
    </div>
  );
}

/** The cause of a step; of `message:<actor id>:<seq>` with a link to the sender. */
function Cause(props: { cause: string }) {
  const match = /^message:([^:]+\/[^:]+\/[^:]+):(.*)$/.exec(props.cause);
  if (match === null) return <code>{props.cause}</code>;
  return (
    <code>
      message from <PageLink path={actorPath(match[1] ?? '')}>{match[1]}</PageLink> ({match[2]})
    </code>
  );
}
