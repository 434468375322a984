/** Ages, durations and times as text. Pure. */
export function durationText(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** The largest unit only, for columns. */
export const ageText = (ms: number): string => durationText(ms).split(' ').slice(0, 2).join(' ');

export const dueText = (ms: number): string => (ms <= 0 ? 'due now' : `in ${durationText(ms)}`);

export const clockText = (atMs: number): string => new Date(atMs).toISOString().replace('T', ' ').replace('Z', ' UTC');

/** Time of day, UTC; enough for what happened just now. */
export const timeText = (atMs: number): string => `${new Date(atMs).toISOString().slice(11, 19)} UTC`;
