/** The page of an id that stands for no actor: says so, and what to do next. It opens the actor when there is one. */
import type { InspectorFeed } from './inspector-feed.ts';
import { PageLink } from './page-frame.tsx';
import { useMeanings } from './page-hooks.ts';

export function MissingActor(props: { feed: InspectorFeed; id: string }) {
  const [kind = '', scope = '', rest = ''] = props.id.split('/');
  const name = rest.split('@')[0] ?? '';
  const kinds = Object.keys(useMeanings(props.feed));
  const search = (query: Readonly<Record<string, string>>): string => `/?${new URLSearchParams(query)}`;
  const unknownKind = kinds.length > 0 && !kinds.includes(kind);
  return (
    <main class="missing">
      <div class="notice" role="alert">
        <h2>
          There is no <code>{props.id}</code>
        </h2>
        <p>
          {unknownKind
            ? `There is no kind ${kind}; there are ${kinds.join(', ')}.`
            : 'It was never created, its name is misspelt, or it belongs to somebody whose actors you may not see.'}
        </p>
        <h3>What to do next</h3>
        <ul>
          <li>
            Look for a similar name: <PageLink path={search({ search: name })}>actors with {name}</PageLink>
            {!unknownKind && (
              <>
                , <PageLink path={search({ kind, scope })}>{`${kind} in ${scope}`}</PageLink>
              </>
            )}
            , <PageLink path="/">all actors</PageLink>.
          </li>
          {!unknownKind && <li>Wait: the page opens by itself as soon as the actor is created.</li>}
        </ul>
      </div>
    </main>
  );
}
