/**
 * Short texts for the event of a step and for what the step requested (effects, messages, timers, rows, replies). The
 * history keeps the exact ids; these texts leave out the parts that are shown beside them. Used by the inspector's
 * history and by the CLI.
 */

/** `xstate.after.backoff.vm.failed` -> `after backoff`; any other event type is returned unchanged. */
export function eventText(type: string): string {
  const [, name] = /^xstate\.after\.([^.]+)\./.exec(type) ?? [];
  return name === undefined ? type : `after ${name}`;
}

/** The text of one entry of `asked`: `send:port.bind:port/acme/p` -> `send port.bind to port/acme/p`. */
export function askedText(asked: string): string {
  const [kind = '', what = '', ...rest] = asked.split(':');
  const to = rest.join(':');
  if (kind === 'timer') return `timer ${eventText(what).replace(/^after /, '')}`;
  if (kind === 'send') return `send ${what} to ${to}`;
  if (kind === 'effect') return `effect ${what}`;
  if (kind === 'reply' || kind === 'reject') return kind;
  if (kind === 'row') return `row ${asked.slice(4)}`;
  return asked;
}
