/** What the cause of a history entry says: in words, and the step behind it, of this actor or another. Pure. */
import { eventText } from './asked-text.ts';

export interface Cause {
  readonly text: string;
  /** The actor whose step caused it. */
  readonly actor?: string;
  /** Of that step; absent when the entry does not say it. */
  readonly version?: number;
}

interface Entry {
  readonly version: number;
  readonly asked: readonly string[];
}

/**
 * @param id the actor of the history
 * @param cause as runtime/contract/journal.ts describes it
 * @param earlier entries before this one, oldest first: one of them has set the timer that fired
 */
export function causeOf(id: string, cause: string, earlier: readonly Entry[]): Cause {
  const end = cause.indexOf(':');
  const rest = cause.slice(end + 1);
  switch (cause.slice(0, end)) {
    case 'message':
      return messageCause(rest, cause);
    case 'command':
      return commandCause(rest);
    case 'effect':
      return effectCause(rest);
    case 'timer': {
      const setBy = earlier.findLast(({ asked }) => asked.includes(cause));
      const text = `timer ${eventText(rest).replace(/^after /, '')}`;
      return setBy === undefined ? { text } : { text: `${text}, set in`, actor: id, version: setBy.version };
    }
    case 'dead-letter':
      return { text: `dead letter ${rest}, delivered again by an operator` };
    case 'upgrade':
      return { text: `a release with chart version ${rest}` };
    default:
      return { text: cause };
  }
}

function messageCause(rest: string, whole: string): Cause {
  const match = /^([^:]+\/[^:]+\/[^:]+):\d+(?:@(\d+))?$/.exec(rest);
  if (match === null) return { text: whole };
  const [, actor = '', version] = match;
  return { text: 'message from', actor, ...(version === undefined ? {} : { version: Number(version) }) };
}

/** `<principal>:<key>` */
function commandCause(rest: string): Cause {
  const end = rest.indexOf(':');
  return { text: end === -1 ? `command ${rest}` : `command of ${rest.slice(0, end)}, key ${rest.slice(end + 1)}` };
}

/** `<actor>#<version>.<index>` */
function effectCause(rest: string): Cause {
  const match = /^(.+)#(\d+)\.\d+$/.exec(rest);
  if (match === null) return { text: `effect ${rest}` };
  return { text: 'effect, requested in', actor: match[1] ?? '', version: Number(match[2]) };
}
