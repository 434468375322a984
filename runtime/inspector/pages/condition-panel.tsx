/**
 * What the status of an actor says by convention (runtime/contract/shown-status.ts), whatever its kind: why something
 * is wrong, how far it is, its conditions, and of published sections those in which a host lags.
 */
import type { ShownCondition, ShownHost, ShownProgress, ShownSection } from '../../contract/shown-status.ts';
import type { Meaning } from '../state-meaning.ts';
import { bytesText, ratesText, shareOf } from './progress-text.ts';
import { listIn, type Reason } from './shown-reason.ts';
import { ageText, clockText } from './time-text.ts';

/** Only of `Ready` is one value good and the other bad: `RestartRequired` is better false. */
const glyphOf = ({ type, status }: ShownCondition): string =>
  status === 'Unknown' ? '?' : type === 'Ready' ? { True: '✓', False: '✕' }[status] : { True: '•', False: '–' }[status];

/** Each section that a host has not proved as it was last published. */
const lagging = (hosts: readonly Partial<ShownHost>[]): readonly (readonly [string, string, ShownSection])[] =>
  hosts.flatMap(({ host = '', sections = {} }) =>
    Object.entries(sections).flatMap(([name, section]): (readonly [string, string, ShownSection])[] =>
      section.proven === section.published ? [] : [[host, name, section]],
    ),
  );

export function ReasonPanel(props: { reason: Reason | null; meaning: Meaning }) {
  const { reason, meaning } = props;
  if (reason === null) return null;
  const tone = meaning === 'failed' || meaning === 'ended' ? 'failed' : 'retrying';
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

/** The bar has no value while the whole is not known: it then shows only that something goes on. */
export function ProgressPanel(props: { status: unknown }) {
  const { progress = null } = (props.status ?? {}) as { readonly progress?: ShownProgress | null };
  if (progress === null) return null;
  const share = shareOf(progress);
  const rates = ratesText(progress);
  return (
    <section class="panel" aria-label="Progress">
      <h2>Progress</h2>
      <progress aria-label="bytes" {...(share === null ? {} : { value: share })} />
      <p>
        {progress.phase !== undefined && <strong>{progress.phase} </strong>}
        {bytesText(progress)}
      </p>
      {rates !== '' && <p class="muted">{rates}</p>}
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
        {conditions.map((condition) => (
          <ConditionLine key={condition.type} condition={condition} {...props} />
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

function ConditionLine(props: { condition: ShownCondition; now: number; shownReason: string | null }) {
  const { type, status, reason, message, since } = props.condition;
  return (
    <li class={`condition ${type === 'Ready' ? status : ''}`} title={`${type} is ${status}`}>
      <span class="mark" aria-label={status}>
        {glyphOf(props.condition)}
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
  );
}
