/**
 * Reads chunks: one run by its place, or a whole chunk from its beginning up to the first block that does not verify.
 * Unverified data is never returned; the error names file and byte. Called by archived-history.ts, run-route.ts,
 * chunk-writer.ts at its start, and chunk-check.ts.
 */
import { join } from 'node:path';
import { PhotonError } from '../contract/errors.ts';
import { systemPlatform, type ArchiveFile, type ArchivePlatform } from './archive-platform.ts';
import type { HistoryRun, RunPlace } from './history-run.ts';
import {
  chainStart,
  continuesChain,
  decodeHeader,
  decodePayload,
  headerBytes,
  chunkName,
  type BlockHeader,
  type ChunkHead,
} from './chunk-format.ts';

export interface ChunkReading {
  /** End of the last block that verifies. */
  readonly bytes: number;
  readonly fileBytes: number;
  readonly chain: Buffer;
  /** Undefined when the first block does not verify. */
  readonly head: ChunkHead | undefined;
  readonly blocks: number;
  /** The fault of the block at `bytes`; undefined when the chunk ends there. */
  readonly wrong: string | undefined;
}

async function readAt(file: ArchiveFile, offset: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await file.read(bytes, done, length - done, offset + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return bytes.subarray(0, done);
}

/** Reads and verifies a chunk up to its end or to the first block that does not verify. */
export async function readThrough(
  folder: string,
  chunk: number,
  platform: ArchivePlatform = systemPlatform,
): Promise<ChunkReading> {
  const file = await platform.open(join(folder, chunkName(chunk)), 'r');
  try {
    const { size } = await file.stat();
    let [bytes, chain, blocks] = [0, chainStart, 0];
    let head: ChunkHead | undefined;
    for (;;) {
      const headerPart = await readAt(file, bytes, headerBytes);
      const result = (wrong?: string): ChunkReading => ({ bytes, fileBytes: size, chain, head, blocks, wrong });
      if (headerPart.length === 0) return result();
      const header = decodeHeader(headerPart);
      if (header === undefined) return result('there is no header of a block');
      const payload = await readAt(file, bytes + headerBytes, header.payloadBytes);
      const lines = await unpack(header, payload, platform);
      if (lines === undefined) return result('the block is cut short or was changed');
      if (!continuesChain(chain, headerPart, payload)) return result('the block does not follow the one before it');
      if (blocks === 0) head = JSON.parse(lines[0] ?? 'null') as ChunkHead;
      bytes += headerBytes + payload.length;
      ({ chain } = header);
      blocks += 1;
    }
  } finally {
    await file.close();
  }
}

async function unpack(
  header: BlockHeader,
  payload: Buffer,
  platform: ArchivePlatform,
): Promise<readonly string[] | undefined> {
  try {
    return await decodePayload(header, payload, platform);
  } catch {
    // The payload cannot be decompressed: the block is damaged.
    return undefined;
  }
}

/** The line of a block that holds the run. @throws PhotonError defeat `archive_damaged` */
export async function readRunLine(
  folder: string,
  { node, chunk, offset, line }: RunPlace,
  platform: ArchivePlatform = systemPlatform,
): Promise<string> {
  const name = join(folder, chunkName(chunk));
  const damaged = (what: string, cause?: unknown): PhotonError =>
    new PhotonError(
      'defeat',
      'archive_damaged',
      `the history archive of ${node} is damaged: ${name} at byte ${offset}: ${what}; restore this file from a backup`,
      { cause, public: true },
    );
  let file: ArchiveFile;
  try {
    file = await platform.open(name, 'r');
  } catch (cause) {
    throw damaged('the file is absent or unreadable', cause);
  }
  try {
    const header = decodeHeader(await readAt(file, offset, headerBytes));
    if (header === undefined) throw damaged('there is no block');
    const lines = await unpack(header, await readAt(file, offset + headerBytes, header.payloadBytes), platform);
    const text = lines?.[line];
    if (text === undefined) throw damaged('the block is cut short or was changed');
    return text;
  } finally {
    await file.close();
  }
}

export const parseRun = (text: string): HistoryRun => JSON.parse(text) as HistoryRun;
