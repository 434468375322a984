/** Paths of the pages: `/` and `/a/<kind>/<scope>/<name>[/<version>]`. Pure, except `goTo`. */
export type PageRoute =
  { readonly page: 'list' } | { readonly page: 'actor'; readonly id: string; readonly version: number | null };

export function routeOf(path: string): PageRoute {
  const match = /^\/a\/([^/]+\/[^/]+\/[^/]+)(?:\/(\d+))?\/?$/.exec(path);
  if (match === null) return { page: 'list' };
  return { page: 'actor', id: match[1] as string, version: match[2] === undefined ? null : Number(match[2]) };
}

export const actorPath = (id: string, version: number | null = null): string =>
  version === null ? `/a/${id}` : `/a/${id}/${version}`;

/** Changes the address and notifies the page. `replace` adds no entry for the back button. */
export function goTo(path: string, replace = false): void {
  if (replace) history.replaceState(null, '', path);
  else history.pushState(null, '', path);
  dispatchEvent(new PopStateEvent('popstate'));
}
