/**
 * How many receipts the store keeps, and what a command id says about the age of its command. The commit script keeps
 * the receipts of a scope in a shard in two generations and drops the older one when the newer one is full or old
 * enough. A command without a receipt may be one whose receipt was dropped, so it is taken only when it is younger than
 * every receipt that was (`isForgotten`, G2). Called by commit-encoding.ts and redis-journal.ts.
 */

export interface ReceiptLimits {
  /** Bytes of receipts that a scope may have in one shard, about; half of it is one generation. */
  readonly receiptBytes: number;
  /**
   * A receipt stays at least this long, unless its scope exceeds `receiptBytes` before. Clients are promised half of
   * it, so that clocks of nodes may differ or step by the other half.
   */
  readonly receiptKeepMs: number;
}

export const defaultReceiptLimits: ReceiptLimits = { receiptBytes: 1_048_576, receiptKeepMs: 172_800_000 };

const ulidForm = /(?:^|[:-])([0-7][0-9A-HJKMNP-TV-Z]{9})[0-9A-HJKMNP-TV-Z]{16}$/;
const uuidForm = /(?:^|[:-])([0-9a-f]{8})-([0-9a-f]{4})-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const millisecondsForm = /(?:^|[:-])(\d{13})-/;
const ulidDigits = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

/**
 * When the command was made, by its id: a ULID or a UUID of version 7 at its end, or 13 digits of milliseconds before a
 * hyphen. Undefined when the id has no time, or one so far ahead of our clock that it cannot be right.
 */
function timeOf(commandId: string, wallMs: number, { receiptKeepMs }: ReceiptLimits): number | undefined {
  const time = statedTime(commandId);
  return time === undefined || time > wallMs + receiptKeepMs / 2 ? undefined : time;
}

function statedTime(commandId: string): number | undefined {
  const ulid = ulidForm.exec(commandId);
  const digits = ulid?.[1];
  if (digits !== undefined) return digits.split('').reduce((sum, digit) => sum * 32 + ulidDigits.indexOf(digit), 0);
  const uuid = uuidForm.exec(commandId);
  if (uuid !== null) return Number.parseInt(`${uuid[1]}${uuid[2]}`, 16);
  const milliseconds = millisecondsForm.exec(commandId);
  return milliseconds === null ? undefined : Number(milliseconds[1]);
}

/**
 * The time from which a command may have had an answer. A client whose keys have no time promises not to repeat a
 * command that is older than clients are told that answers are kept.
 */
export const answerableFrom = (commandId: string, wallMs: number, limits: ReceiptLimits): number =>
  Math.floor(timeOf(commandId, wallMs, limits) ?? wallMs - limits.receiptKeepMs / 2);

/** When the last of these commands was answered, or made, if the client's clock is ahead of ours. */
export const latestTimeOf = (commandIds: readonly string[], wallMs: number, limits: ReceiptLimits): number =>
  commandIds.reduce((latest, commandId) => Math.max(latest, timeOf(commandId, wallMs, limits) ?? 0), wallMs);

/** @param forgottenMs the newest time of the receipts that were dropped; null when none was */
export const isForgotten = (forgottenMs: string | null, answerableMs: number): boolean =>
  forgottenMs !== null && Number(forgottenMs) >= answerableMs;
