/**
 * The history of one actor, newest first. A step can be chosen, so that the chart shows it, and opened for details.
 * Where steps are missing the list says so, and why; older ones are read when they are asked for.
 */
import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { askedText, eventText } from '../asked-text.ts';
import { causeOf } from '../cause-text.ts';
import { stateText } from '../chart-trace.ts';
import type { LiveActor } from './actor-feed.ts';
import { changesOf } from './context-diff.ts';
import type { Piece } from './history-pieces.ts';
import type { HistoryRow } from './inspector-feed.ts';
import { PageLink } from './page-frame.tsx';
import { actorPath } from './page-route.ts';
import { ageText, clockText } from './time-text.ts';

export interface HistoryViewProps {
  readonly id: string;
  readonly live: LiveActor;
  readonly selected: number | null;
  /** Keys of entries, as `entryKey` makes them. */
  readonly open: ReadonlySet<string>;
  readonly now: number;
  readonly onSelect: (version: number) => void;
  readonly onToggle: (key: string) => void;
  readonly onOlder: (piece: Piece) => void;
}

/** Several entries may have the same version: an input without a transition has none of its own. */
function entryKey(rows: readonly HistoryRow[], index: number): string {
  const version = rows[index]?.version ?? 0;
  return `${version}.${index - rows.findIndex((row) => row.version === version)}`;
}

/** The key of the entry that is opened with a version: of its transition, else of its last entry. */
export function mainKey(rows: readonly HistoryRow[], version: number): string | undefined {
  const transition = rows.findIndex((row) => row.version === version && row.kind === 'transition');
  const index = transition === -1 ? rows.findLastIndex((row) => row.version === version) : transition;
  return index === -1 ? undefined : entryKey(rows, index);
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
  const { history } = props.live;
  const steps = history.reduce((sum, { rows }) => sum + rows.length, 0);
  return (
    <section class="history-pane" aria-label="History">
      <h2 class="pane-title">
        History{' '}
        <span class="muted">
          {props.live.detail === null
            ? 'not read yet'
            : `newest first, ${steps === 1 ? '1 step' : `${steps} steps`} read`}
        </span>
      </h2>
      <ol class="history" aria-label="History, newest first">
        {history.flatMap((piece, index) => [
          ...pieceRows(piece, props),
          <PieceEnd key={`end ${piece.rows[0]?.version}`} piece={piece} next={history[index + 1]} {...props} />,
        ])}
        {steps === 0 && props.live.detail !== null && <li class="panel muted">No history.</li>}
      </ol>
    </section>
  );
}

function pieceRows({ rows }: Piece, props: HistoryViewProps) {
  const entries = rows.flatMap((row, index) => {
    const before = rows[index - 1];
    const missing = before === undefined ? 0 : row.version - before.version - 1;
    const key = entryKey(rows, index);
    const entry = <Entry key={key} name={key} rows={rows} index={index} row={row} {...props} />;
    return missing <= 0
      ? [entry]
      : [<Gap key={`gap ${key}`} from={row.version - missing} to={row.version - 1} />, entry];
  });
  return entries.toReversed();
}

const lostText =
  'The store dropped them at its cap before they were archived, or the disk with their archive was lost.';

function Gap(props: { from: number; to: number }) {
  const which = props.from === props.to ? `Version ${props.from} is` : `Versions ${props.from} to ${props.to} are`;
  return (
    <li class="history-end" role="note">
      {which} missing. {lostText}
    </li>
  );
}

/** Below the oldest step of a piece: how to read on, or why nothing is left. */
function PieceEnd(props: HistoryViewProps & { piece: Piece; next: Piece | undefined }) {
  const { piece, next, live } = props;
  const oldest = piece.rows[0]?.version ?? 0;
  const button = (text: string) => (
    <button disabled={live.isReadingOlder} onClick={() => props.onOlder(piece)}>
      {live.isReadingOlder ? 'Reading.' : text}
    </button>
  );
  const failure = live.olderFailure !== null && <p class="failure">✕ {live.olderFailure}</p>;
  if (next !== undefined || piece.older === 'more')
    return (
      <li class="history-end" role="note">
        {next === undefined
          ? button(`Read older steps than version ${oldest}`)
          : button(`Read the steps from version ${next.rows.at(-1)?.version ?? 0} to ${oldest}`)}
        {failure}
      </li>
    );
  const ends = {
    none: 'Nothing precedes this step.',
    lost: `The steps before version ${oldest} are gone. ${lostText}`,
    not_archived: `The steps before version ${oldest} are gone: this server keeps no archive, only the newest steps.`,
  };
  return (
    <li class="history-end" role="note">
      {ends[piece.older]}
      {failure}
    </li>
  );
}

/** Dotted names break behind a dot. */
const breakable = (name: string) => name.split(/(?<=\.)/).map((part, index) => [index > 0 && <wbr />, part]);

interface EntryProps extends HistoryViewProps {
  readonly name: string;
  readonly rows: readonly HistoryRow[];
  readonly index: number;
  readonly row: HistoryRow;
}

function Entry(props: EntryProps) {
  const { row, name } = props;
  const element = useRef<HTMLLIElement>(null);
  const current = props.selected === row.version;
  const opened = props.open.has(name);
  useEffect(() => {
    if (current) element.current?.scrollIntoView({ block: 'nearest' });
  }, [current, opened]);
  const from = stateText(row.from);
  const to = stateText(row.to);
  const note = noteOf(row);
  return (
    <li ref={element} class={`entry ${row.kind}`} aria-current={current}>
      <div
        class="row"
        onClick={() => {
          props.onSelect(row.version);
          if (current || !opened) props.onToggle(name);
        }}
      >
        <span class="muted number">{row.version}</span>
        <span class="event" title={row.event.type}>
          {breakable(eventText(row.event.type))}
        </span>
        <span class="muted" title={clockText(row.at)}>
          {ageText(props.now - row.at)}
          <span class="ago"> ago</span>
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

function Detail(props: EntryProps) {
  const { row } = props;
  return (
    <div class="detail">
      <h3>Caused by</h3>
      <CauseLine {...props} />
      <Receivers asked={row.asked} />
      <h3>Context</h3>
      <Changes {...props} />
      <h3>Event</h3>
      <pre>{JSON.stringify(row.event, null, 1)}</pre>
      <p class="muted">
        {clockText(row.at)} · <PageLink path={actorPath(props.id, row.version)}>link to version {row.version}</PageLink>
      </p>
    </div>
  );
}

function Changes(props: EntryProps) {
  const changes = changesOf(props.rows, props.index);
  const text = (value: string | null | undefined) =>
    value === undefined ? (
      <span class="muted">in a step that was not read</span>
    ) : value === null ? (
      <span class="muted">none</span>
    ) : (
      <pre>{value}</pre>
    );
  if (changes.length === 0) return <span class="muted">unchanged</span>;
  return (
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
  );
}

/** In words, with a link to the step that caused this one. */
function CauseLine({ id, row, rows, index }: EntryProps) {
  const { text, actor, version } = causeOf(id, row.cause, rows.slice(0, index));
  const link = (path: string, label: ComponentChildren) => <PageLink path={path}>{label}</PageLink>;
  return (
    <span class="cause" title={row.cause}>
      {text}{' '}
      {actor !== undefined &&
        (version === undefined ? (
          <>
            {link(actorPath(actor), actor)} <span class="muted">(the entry does not name its step)</span>
          </>
        ) : (
          link(actorPath(actor, version), actor === id ? `version ${version}` : `${actor}, version ${version}`)
        ))}
    </span>
  );
}

/** Links to the actors that got a message from this step. */
function Receivers(props: { asked: readonly string[] }) {
  const sent = props.asked.flatMap((asked) => /^send:([^:]+):(.+)$/.exec(asked)?.slice(1, 3) ?? []);
  const receivers = [...new Set(sent.filter((_, index) => index % 2 === 1))];
  if (receivers.length === 0) return null;
  return (
    <>
      <h3>Messages sent to</h3>
      {receivers.map((receiver) => (
        <div key={receiver}>
          <PageLink path={actorPath(receiver)}>{receiver}</PageLink>
        </div>
      ))}
    </>
  );
}
