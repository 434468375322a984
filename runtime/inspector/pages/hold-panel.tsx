/**
 * What an operator needs to know about a held actor: who holds it, why, and how to end that; and its dead letters. The
 * list shows a badge, the actor's page the whole panel. The pages only read: operators send verbs with the CLI.
 */
import type { DeadLetter, Hold } from './inspector-feed.ts';
import { PageLink } from './page-frame.tsx';
import { actorPath } from './page-route.ts';
import { ageText, clockText } from './time-text.ts';

const glyphs = { paused: '‖', quarantined: '⚠\uFE0E', version: '◷' } as const;

const words = { paused: 'paused', quarantined: 'quarantined', version: 'unreadable version' } as const;

const meanings = {
  paused:
    'The actor processes no messages: they wait with their senders, and its effects are cancelled until it resumes.',
  quarantined: 'The chart failed on an input, so the actor processes no others: messages wait with their senders.',
  version: 'The release on its node cannot read the stored version of the chart; nothing is lost.',
} as const;

/** Per line: what the command does, and the command. */
const steps = (kind: Hold['kind'], id: string): readonly (readonly [string, string])[] => {
  if (kind === 'paused') return [['end the pause', `photon actor resume ${id} --reason WHY`]];
  if (kind === 'version') return [['check which actors a release can load', 'photon upgrade check --dir FOLDER']];
  return [
    ['deliver the input again, when the cause is repaired', `photon actor redrive ${id} --reason WHY`],
    ['drop the input it failed on', `photon actor skip ${id} --reason WHY`],
    ['show what a reset to a state would change', `photon actor reset ${id} --to STATE --dry-run --reason WHY`],
  ];
};

export function HoldBadge(props: { kind: Hold['kind']; title?: string | undefined }) {
  return (
    <span class={`badge held ${props.kind}`} title={props.title}>
      <span aria-hidden="true">{glyphs[props.kind]} </span>
      {words[props.kind]}
    </span>
  );
}

export function HoldPanel(props: { id: string; hold: Hold; now: number }) {
  const { kind, by, at, reason } = props.hold;
  return (
    <section class={`panel hold ${kind}`} aria-label="Held" role="status">
      <p>
        <HoldBadge kind={kind} />{' '}
        <span class="muted" title={at === null ? undefined : clockText(at)}>
          by {by === 'host' ? 'its node' : by}
          {at !== null && `, ${ageText(props.now - at)} ago`}
        </span>
      </p>
      <p class="reason">{reason}</p>
      <p class="muted">{meanings[kind]}</p>
      <h2>What to do next</h2>
      <dl class="steps">
        {steps(kind, props.id).map(([what, command]) => [<dt>{what}</dt>, <dd>{<Command text={command} />}</dd>])}
      </dl>
    </section>
  );
}

/** Allows line breaks between words only: a browser would also break `--dry-run`. */
function Command(props: { text: string }) {
  return <code>{props.text.split(' ').map((word, index) => [index > 0 && ' ', <span>{word}</span>])}</code>;
}

export function DeadLetterPanel(props: { deadLetters: readonly DeadLetter[]; now: number }) {
  if (props.deadLetters.length === 0) return null;
  return (
    <section class="panel" aria-label="Dead letters">
      <h2>Dead letters: inputs that could not be processed</h2>
      <ul class="dead-letters">
        {props.deadLetters.map((deadLetter) => (
          <li key={deadLetter.deadLetterId}>
            <span>
              <strong>{deadLetter.type}</strong>
              {deadLetter.from !== null && (
                <>
                  {' '}
                  from <PageLink path={actorPath(deadLetter.from)}>{deadLetter.from}</PageLink>
                </>
              )}
            </span>
            <span class="muted" title={clockText(deadLetter.at)}>
              {ageText(props.now - deadLetter.at)} ago
            </span>
            <span class="reason failure">{deadLetter.reason}</span>
            <span class="muted">
              at version {deadLetter.version} · <code>{deadLetter.deadLetterId}</code>
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}
