/**
 * What a step asked for, and what set it off, in words a person reads: the history keeps the exact ids, these leave out
 * what the reader knows from the line beside them. Used by the inspector's history and by the command line.
 */

/** `xstate.after.backoff.vm.failed` -> `after backoff`; any other event is its own name. */
export function eventText(type: string): string {
  const [, name] = /^xstate\.after\.([^.]+)\./.exec(type) ?? [];
  return name === undefined ? type : `after ${name}`;
}

/** One entry of a history line's `asked`: `send:port.bind:port/acme/p` -> `send port.bind to port/acme/p`. */
export function askedText(asked: string): string {
  const [kind = '', what = '', ...rest] = asked.split(':');
  const to = rest.join(':');
  if (kind === 'timer') return `timer ${eventText(what).replace(/^after /, '')}`;
  if (kind === 'send') return `send ${what} to ${to}`;
  if (kind === 'effect') return `effect ${what}`;
  if (kind === 'reply' || kind === 'reject') return kind === 'reply' ? 'answer' : 'refuse';
  if (kind === 'row') return `row ${asked.slice(4)}`;
  return asked;
}
