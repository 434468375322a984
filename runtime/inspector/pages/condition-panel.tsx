/**
 * What the status of an actor says by convention, whatever its kind: `conditions`, and for a kind that publishes
 * sections to hosts, `hosts` with the generation published and proven of each. A host that lags has a line per section.
 */
interface Condition {
  readonly type: string;
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: string;
  readonly message: string;
}

interface Section {
  readonly published: number;
  readonly proven: number;
  readonly failure: { readonly message: string } | null;
}

interface PublishedHost {
  readonly host: string;
  readonly sections?: Readonly<Record<string, Section>>;
}

const glyphs = { True: '✓', False: '✕', Unknown: '?' } as const;

const listIn = <Item,>(status: unknown, field: string): readonly Item[] => {
  const list = (status as Readonly<Record<string, unknown>> | null)?.[field];
  return Array.isArray(list) ? (list as readonly Item[]) : [];
};

/** Each section that a host has not proved as it was last published. */
const lagging = (hosts: readonly PublishedHost[]): readonly (readonly [string, string, Section])[] =>
  hosts.flatMap(({ host, sections = {} }) =>
    Object.entries(sections).flatMap(([name, section]): (readonly [string, string, Section])[] =>
      section.proven === section.published ? [] : [[host, name, section]],
    ),
  );

/** @param status of the actor as the control API answers it */
export function ConditionPanel(props: { status: unknown }) {
  const conditions = listIn<Condition>(props.status, 'conditions');
  const lags = lagging(listIn<PublishedHost>(props.status, 'hosts'));
  if (conditions.length === 0 && lags.length === 0) return null;
  return (
    <section class="panel" aria-label="Conditions">
      <h2>Conditions</h2>
      <ul class="waits">
        {conditions.map(({ type, status, reason, message }) => (
          <li key={type}>
            <span aria-label={status}>{glyphs[status]}</span>
            <span>
              <strong>{type}</strong> {reason}
              {message !== '' && <span class="muted"> {message}</span>}
            </span>
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
