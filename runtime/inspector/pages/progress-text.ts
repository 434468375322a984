/** How far a kind that moves bytes is, in words. Pure. */
import type { ShownProgress } from '../../contract/shown-status.ts';
import { durationText } from './time-text.ts';

const mib = (bytes: number): string => (bytes / 2 ** 20).toFixed(1);

/** Of the whole, 0 to 1; null while the whole is not known. */
export function shareOf({ totalBytes, remainingBytes, receivedBytes = 0 }: ShownProgress): number | null {
  if (totalBytes === null) return null;
  if (totalBytes === 0) return 1;
  const moved = remainingBytes === undefined ? receivedBytes : totalBytes - remainingBytes;
  return Math.min(1, Math.max(0, moved / totalBytes));
}

export function bytesText(progress: ShownProgress): string {
  const { totalBytes, receivedBytes = 0 } = progress;
  const share = shareOf(progress);
  return totalBytes === null || share === null
    ? `${mib(receivedBytes)} MiB, of a whole that is not known`
    : `${mib(share * totalBytes)} of ${mib(totalBytes)} MiB`;
}

/** Rates and what they mean for the rest; empty when no rate is known. */
export function ratesText({ remainingBytes = 0, rate, dirtyRate = 0 }: ShownProgress): string {
  if (rate === undefined) return '';
  const rates = `sends ${mib(rate)} MiB/s, ${mib(dirtyRate)} MiB/s are written meanwhile`;
  if (remainingBytes === 0 || rate === 0) return rates;
  if (rate <= dirtyRate) return `${rates}: no end in sight`;
  return `${rates}: about ${durationText((remainingBytes / (rate - dirtyRate)) * 1_000)} left`;
}
