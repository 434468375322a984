/**
 * File systems of a guest at rest for a moment: its QEMU guest agent freezes them, something is done, and it thaws
 * them. Called by snapshot/. A guest without an agent, or whose agent does not answer, is not frozen, and no error.
 * Promise: a guest that was asked to freeze is asked to thaw, whatever fails meanwhile. A mark in the folder of the run
 * says that it was not thawed yet; `thawLeft` asks again, also after the worker was killed: who makes copies calls it,
 * and the watch of each run, for a guest that could not answer, as one that was paused meanwhile. One conversation at a
 * time is had with an agent, so nobody thaws what another one has just frozen.
 */
import { rm, writeFile } from 'node:fs/promises';
import { fileError } from '../kernel-errors.ts';
import { readTextFile } from '../storage-files.ts';
import { GuestConversation } from './guest-conversation.ts';
import type { IncarnationPaths } from './qemu-folder.ts';

type Place = Pick<IncarnationPaths, 'guestSocket' | 'frozenFile'>;

/** The longest time for each answer. */
interface Patience {
  readonly beginMs: number;
  /** The guest writes down what it has in memory first. */
  readonly freezeMs: number;
  readonly thawMs: number;
}
const patience: Patience = { beginMs: 2_000, freezeMs: 5_000, thawMs: 2_000 };

export interface Done<Result> {
  readonly result: Result;
  /** They were at rest for all of the work, as far as the guest can be believed. */
  readonly isFrozen: boolean;
}

export async function whileFrozen<Result>(
  place: Place,
  work: () => Promise<Result>,
  { beginMs, freezeMs, thawMs } = patience,
): Promise<Done<Result>> {
  const guest = await GuestConversation.begin(place.guestSocket, beginMs);
  if (guest === null) return { result: await work(), isFrozen: false };
  try {
    await mark(place);
    const frozen = await guest.ask('guest-fsfreeze-freeze', freezeMs);
    let result: Result;
    let thawed: unknown;
    try {
      result = await work();
    } finally {
      thawed = await thaw(guest, place, thawMs);
    }
    return { result, isFrozen: isSome(frozen) && isSome(thawed) };
  } finally {
    guest.end();
  }
}

/**
 * Asks a guest to thaw that did not say that it has.
 * @returns whether it has now, or nobody had frozen it
 */
export async function thawLeft(place: Place, { beginMs, thawMs } = patience): Promise<boolean> {
  if (!(await isMarked(place))) return true;
  const guest = await GuestConversation.begin(place.guestSocket, beginMs);
  if (guest === null) return false;
  try {
    // Whoever had the conversation before may have thawed it.
    return !(await isMarked(place)) || (await thaw(guest, place, thawMs)) !== undefined;
  } finally {
    guest.end();
  }
}

const isMarked = async ({ frozenFile }: Place): Promise<boolean> => (await readTextFile(frozenFile)) !== undefined;

const isSome = (fileSystems: unknown): boolean => typeof fileSystems === 'number' && fileSystems > 0;

async function mark({ frozenFile }: Place): Promise<void> {
  try {
    await writeFile(frozenFile, '', { mode: 0o600 });
  } catch (error) {
    throw fileError('marking a run whose guest is to freeze', error);
  }
}

async function thaw(guest: GuestConversation, { frozenFile }: Place, thawMs: number): Promise<unknown> {
  const answer = await guest.ask('guest-fsfreeze-thaw', thawMs);
  if (answer === undefined) return undefined;
  try {
    await rm(frozenFile, { force: true });
  } catch (error) {
    throw fileError('removing the mark of a run whose guest has thawed', error);
  }
  return answer;
}
