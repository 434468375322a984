/**
 * Why an actor of the list is held, or why its state needs attention. List lines do not say it, so the record of each
 * such line that is drawn is read: few at a time, so that a page with many of them stays within the limits of reads.
 */
import { useEffect, useState } from 'preact/hooks';
import type { Meaning } from '../state-meaning.ts';
import type { ActorRow, InspectorFeed } from './inspector-feed.ts';
import { reasonOf } from './shown-reason.ts';

const readsAtOnce = 4;
let reading = 0;
const waiting: (() => void)[] = [];

async function inTurn<Result>(read: () => Promise<Result>): Promise<Result> {
  if (reading >= readsAtOnce) await new Promise<void>((resolve) => waiting.push(resolve));
  reading += 1;
  try {
    return await read();
  } finally {
    reading -= 1;
    waiting.shift()?.();
  }
}

/** @returns null while nothing is known */
export function useReason(feed: InspectorFeed, row: ActorRow, meaning: Meaning): string | null {
  const [reason, setReason] = useState<string | null>(null);
  const isAsked = row.held !== undefined || meaning === 'failed' || meaning === 'retrying';
  useEffect(() => {
    let wanted = isAsked;
    if (!isAsked) setReason(null);
    else
      void inTurn(async () => {
        if (!wanted) return;
        const { hold, status } = await feed.get(row.id);
        if (wanted) setReason(hold?.reason ?? reasonOf(status, meaning, undefined)?.text ?? null);
      }).then(
        () => undefined,
        // The line is shown without its reason; the actor's page shows the error.
        () => undefined,
      );
    return () => {
      wanted = false;
    };
  }, [feed, row.id, row.held, row.at, isAsked]);
  return reason;
}
