/**
 * What has come of an image that is gathered from an address or a client: a file and a record beside it, in a folder of
 * its own, which outlive the worker. The size of the file is how much has come. Called by copy-gathering.ts, one change
 * at a time. Promise: the begin of the bytes is inspected as soon as it is there, before the rest is taken.
 */
import { createHash } from 'node:crypto';
import { constants, type Stats } from 'node:fs';
import { mkdir, open, readFile, rm, writeFile, rename } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import path from 'node:path';
import type { CopyGatherSpec, OwnerToken } from '@photoncloud/machines/values/wiring';
import { z } from 'zod';
import type { DataplaneSite } from '../dataplane-site.ts';
import { errnoOf, fileError } from '../kernel-errors.ts';
import { aliasOf, ownerOfAlias } from '../owner-alias.ts';
import { listFolder, requireSpace } from '../storage-files.ts';
import { refuseImage } from './image-errors.ts';
import { inspectHeader } from './image-header.ts';
import { headBytes } from './image-signatures.ts';

const recordSchema = z.strictObject({
  owner: z.string(),
  totalBytes: z.int().nullable(),
  /** Of the server that sent the bytes (source-request.ts). */
  validator: z.string().nullable(),
});
type IntakeRecord = z.infer<typeof recordSchema>;

/** Free space is looked at each time so many bytes have come. */
const spaceStepBytes = 64 << 20;
const zeros = Buffer.alloc(1 << 20);

/** Two lives of an image of the same name have two. */
const keyOf = ({ actor, uid }: OwnerToken): string =>
  createHash('sha256').update(`${actor} ${uid}`).digest('hex').slice(0, 32);
const fileOf = (site: DataplaneSite, key: string): string => path.join(site.folders.incoming, `${key}.part`);
const recordOf = (site: DataplaneSite, key: string): string => path.join(site.folders.incoming, `${key}.json`);

export class Intake {
  readonly file: FileHandle;
  readonly path: string;
  readonly #site: DataplaneSite;
  readonly #spec: CopyGatherSpec;
  readonly #limitBytes: number;
  #record: IntakeRecord;
  #receivedBytes: number;
  #isAccepted = false;
  #spaceAtBytes = 0;

  private constructor(site: DataplaneSite, spec: CopyGatherSpec, opened: Opened, limitBytes: number) {
    this.#site = site;
    this.#spec = spec;
    this.#limitBytes = limitBytes;
    this.file = opened.file;
    this.path = opened.path;
    this.#record = opened.record;
    this.#receivedBytes = opened.size;
  }

  /** Continues with what is there. @throws fault `storage_failed` */
  static async open(site: DataplaneSite, spec: CopyGatherSpec, limitBytes: number): Promise<Intake> {
    const key = keyOf(spec.owner);
    const totalBytes = 'uploadBytes' in spec.source ? spec.source.uploadBytes : null;
    const none: IntakeRecord = { owner: aliasOf(site.options.cluster, spec.owner), totalBytes, validator: null };
    const record = (await readRecord(site, key)) ?? none;
    try {
      await mkdir(site.folders.incoming, { recursive: true, mode: 0o700 });
      await writeRecord(site, key, record);
      const at = fileOf(site, key);
      const file = await open(at, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
      try {
        const intake = new Intake(site, spec, { file, path: at, record, size: (await file.stat()).size }, limitBytes);
        if (intake.receivedBytes > 0) await intake.#inspectBegin();
        return intake;
      } catch (error) {
        await file.close();
        throw error;
      }
    } catch (error) {
      throw fileError(`opening what was gathered for ${spec.owner.actor}`, error);
    }
  }

  get receivedBytes(): number {
    return this.#receivedBytes;
  }

  get totalBytes(): number | null {
    return this.#record.totalBytes;
  }

  get validator(): string | null {
    return this.#record.validator;
  }

  /** Whether the begin of the bytes was inspected. */
  get isAccepted(): boolean {
    return this.#isAccepted;
  }

  get isWhole(): boolean {
    return this.#receivedBytes === this.#record.totalBytes;
  }

  async note(known: Pick<IntakeRecord, 'totalBytes' | 'validator'>): Promise<void> {
    this.#record = { ...this.#record, ...known };
    await writeRecord(this.#site, keyOf(this.#spec.owner), this.#record);
  }

  /** Forgets what has come. */
  async restart(): Promise<void> {
    await this.file.truncate(0);
    this.#receivedBytes = 0;
    this.#isAccepted = false;
    this.#spaceAtBytes = 0;
  }

  /** @throws defeat ImageRefusal; fault `storage_full` */
  async append(chunk: Buffer): Promise<void> {
    const from = this.#receivedBytes;
    const to = from + chunk.length;
    if (to > (this.totalBytes ?? this.#limitBytes))
      throw refuseImage('source_too_large', `more than the ${this.totalBytes ?? this.#limitBytes} bytes were sent`);
    if (to > this.#spaceAtBytes) {
      const wanted = this.totalBytes === null ? spaceStepBytes : this.totalBytes - from;
      await requireSpace(this.#site.folders.incoming, wanted);
      this.#spaceAtBytes = to + spaceStepBytes;
    }
    // A hole, where only zeros came.
    if (chunk.length <= zeros.length && chunk.equals(zeros.subarray(0, chunk.length))) await this.file.truncate(to);
    else for (let done = 0; done < chunk.length;) done += await this.#write(chunk, done, from + done);
    this.#receivedBytes = to;
    await this.#inspectBegin();
  }

  async #write(chunk: Buffer, from: number, position: number): Promise<number> {
    return (await this.file.write(chunk, from, chunk.length - from, position)).bytesWritten;
  }

  async #inspectBegin(): Promise<void> {
    if (this.#isAccepted || (this.#receivedBytes < headBytes && !this.isWhole)) return;
    // A size that nobody has said yet is no reason to refuse.
    const size = this.totalBytes ?? Number.MAX_SAFE_INTEGER;
    await inspectHeader(this.file, this.#spec.format, 'the image', size);
    this.#isAccepted = true;
  }

  close(): Promise<void> {
    return this.file.close();
  }
}

interface Opened {
  readonly file: FileHandle;
  readonly path: string;
  readonly record: IntakeRecord;
  readonly size: Stats['size'];
}

async function readRecord(site: DataplaneSite, key: string): Promise<IntakeRecord | undefined> {
  let text: string;
  try {
    text = await readFile(recordOf(site, key), 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw fileError('reading what was gathered', error);
  }
  const parsed = recordSchema.safeParse(parsedOrNull(text));
  return parsed.success ? parsed.data : undefined;
}

function parsedOrNull(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    // Cut by a crash: what it said is found out again.
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

async function writeRecord(site: DataplaneSite, key: string, record: IntakeRecord): Promise<void> {
  const file = recordOf(site, key);
  await writeFile(`${file}.new`, JSON.stringify(record), { mode: 0o600 });
  await rename(`${file}.new`, file);
}

/** Removes what an owner has gathered, if anything. */
export async function removeIntake(site: DataplaneSite, owner: OwnerToken): Promise<void> {
  await removeByKey(site, keyOf(owner));
}

async function removeByKey(site: DataplaneSite, key: string): Promise<void> {
  await rm(fileOf(site, key), { force: true });
  await rm(recordOf(site, key), { force: true });
  await rm(`${recordOf(site, key)}.new`, { force: true });
}

export interface FoundIntake {
  /** Relative to the folder of the host. */
  readonly name: string;
  readonly owner: OwnerToken | null;
  readonly remove: () => Promise<void>;
}

/** All of this host, for the sweep and for the list of what has no owner. */
export async function findIntakes(site: DataplaneSite): Promise<readonly FoundIntake[]> {
  const keys = new Set((await listFolder(site.folders.incoming)).map((name) => name.split('.')[0] ?? ''));
  return Promise.all(
    [...keys].map(async (key) => ({
      name: path.join('incoming', `${key}.part`),
      owner: ownerOfAlias(site.options.cluster, (await readRecord(site, key))?.owner),
      remove: () => removeByKey(site, key),
    })),
  );
}
