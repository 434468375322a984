/**
 * What the status of an actor says by convention (runtime/contract/shown-status.ts), whatever its kind: why something
 * is wrong, its conditions, and of published sections those in which a host lags.
 */
import type { ShownCondition, ShownFailure, ShownHost, ShownSection } from '../../contract/shown-status.ts';
import type { Meaning } from '../state-meaning.ts';
import type { HistoryRow } from './inspector-feed.ts';
import { ageText, clockText } from './time-text.ts';

const glyphs = { True: '✓', False: '✕', Unknown: '?' } as const;

const fieldIn = (value: unknown, field: string): unknown =>
  typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>)[field] : undefined;

const listIn = <Item,>(status: unknown, field: string): readonly Item[] => {
  const list = fieldIn(status, field);
  return Array.isArray(list) ? (list as readonly Item[]) : [];
};

function failureIn(value: unknown, field: string): ShownFailure | undefined {
  const failure = fieldIn(value, field);
  return typeof fieldIn(failure, 'message') === 'string' ? (failure as ShownFailure) : undefined;
}

/** Each section that a host has not proved as it was last published. */
const lagging = (hosts: readonly Partial<ShownHost>[]): readonly (readonly [string, string, ShownSection])[] =>
  hosts.flatMap(({ host = '', sections = {} }) =>
    Object.entries(sections).flatMap(([name, section]): (readonly [string, string, ShownSection])[] =>
      section.proven === section.published ? [] : [[host, name, section]],
    ),
  );

export interface Reason {
  readonly code: string | null;
  readonly text: string;
  readonly retryable: boolean | null;
}

/**
 * Why an actor is where it is: its failure; in a state that stands for one, what its conditions say, or the step that
 * led there.
 */
export function reasonOf(status: unknown, meaning: Meaning, step: HistoryRow | undefined): Reason | null {
  const failure = failureIn(status, 'failure');
  if (failure !== undefined) return { code: failure.code, text: failure.message, retryable: failure.retryable };
  if (meaning !== 'failed' && meaning !== 'retrying') return null;
  const condition = listIn<ShownCondition>(status, 'conditions').find((one) => one.status !== 'True' && one.message);
  if (condition !== undefined) return { code: condition.reason, text: condition.message, retryable: null };
  const error = failureIn(step?.event, 'error') ?? failureIn(step?.event, 'failure');
  if (error !== undefined) return { code: error.code, text: error.message, retryable: error.retryable };
  const said = fieldIn(step?.event, 'reason') ?? fieldIn(step?.event, 'why');
  return typeof said === 'string' ? { code: null, text: said, retryable: null } : null;
}

export function ReasonPanel(props: { reason: Reason | null; meaning: Meaning }) {
  const { reason, meaning } = props;
  if (reason === null) return null;
  const tone = meaning === 'failed' ? 'failed' : 'retrying';
  return (
    <section class={`panel reason-panel ${tone}`} aria-label="Reason" role="status">
      <p>
        <strong class={tone === 'failed' ? 'failure' : 'timer'}>
          {tone === 'failed' ? '✕' : '↻'} {reason.code ?? 'reason'}
        </strong>
        {reason.retryable !== null && (
          <span class="muted"> {reason.retryable ? 'may pass: tried again' : 'does not pass by itself'}</span>
        )}
      </p>
      <p class="reason">{reason.text}</p>
    </section>
  );
}

/** @param status of the actor as the control API answers it */
export function ConditionPanel(props: { status: unknown; now: number; shownReason: string | null }) {
  const conditions = listIn<ShownCondition>(props.status, 'conditions');
  const lags = lagging(listIn<Partial<ShownHost>>(props.status, 'hosts'));
  if (conditions.length === 0 && lags.length === 0) return null;
  return (
    <section class="panel" aria-label="Conditions">
      <h2>Conditions</h2>
      <ul class="waits">
        {conditions.map(({ type, status, reason, message, since }) => (
          <li key={type} class={`condition ${status}`}>
            <span class="mark" aria-label={status}>
              {glyphs[status]}
            </span>
            <span>
              <strong>{type}</strong> {reason}
              {message !== '' && message !== props.shownReason && <span class="muted"> {message}</span>}
            </span>
            {since > 0 && (
              <span class="muted" title={`since ${clockText(since)}`}>
                {ageText(props.now - since)}
              </span>
            )}
          </li>
        ))}
        {lags.map(([host, name, { published, proven, failure }]) => (
          <li key={`${host} ${name}`}>
            <span aria-hidden="true">◷</span>
            <span>
              <strong>{host}</strong> lags in {name}
              {failure !== null && <span class="muted"> {failure.message}</span>}
            </span>
            <span class="muted">
              {proven} of {published}
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}
