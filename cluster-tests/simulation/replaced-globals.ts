/**
 * While a seed runs, the real clocks, timers and random sources of the process are replaced: `setImmediate` goes to
 * virtual time, everything else throws, so that no call can make two runs of a seed differ. Restored afterwards.
 */
import type { VirtualTime } from './virtual-time.ts';

const refuse = (what: string) => (): never => {
  throw new Error(`${what} was called in a simulated run; it must go through a port of runtime/contract`);
};

type Method = (...args: never[]) => unknown;

/** @returns restores the originals */
export function replaceGlobals(time: VirtualTime): () => void {
  const immediate = (task: (...args: unknown[]) => void, ...args: unknown[]): unknown => {
    const { current } = time;
    return time.after(0, current, 'immediate', () => task(...args));
  };
  const replaced: [object, string, Method][] = [
    [globalThis, 'setImmediate', immediate],
    [globalThis, 'setTimeout', refuse('setTimeout')],
    [globalThis, 'setInterval', refuse('setInterval')],
    [Math, 'random', refuse('Math.random')],
    [Date, 'now', refuse('Date.now')],
    [performance, 'now', refuse('performance.now')],
    [crypto, 'randomUUID', refuse('crypto.randomUUID')],
    [crypto, 'getRandomValues', refuse('crypto.getRandomValues')],
  ];
  const before = replaced.map(([place, name]) => Object.getOwnPropertyDescriptor(place, name));
  for (const [place, name, value] of replaced)
    Object.defineProperty(place, name, { value, configurable: true, writable: true });
  return () => {
    for (const [at, [place, name]] of replaced.entries()) {
      const descriptor = before[at];
      if (descriptor === undefined) Reflect.deleteProperty(place, name);
      else Object.defineProperty(place, name, descriptor);
    }
  };
}
