/**
 * Checks a whole archive folder: names changed, truncated, missing and foreign parts by file and byte. Bytes behind the
 * point where the next chunk took over are left by a crash or a full disk and are no damage: no pointer leads there.
 * Called by `photon history check`; it only reads, so it may run beside the node.
 */
import { readdir } from 'node:fs/promises';
import { chunkName, chunkOf } from './chunk-format.ts';
import { readThrough } from './chunk-reader.ts';

export interface ArchiveFindings {
  readonly chunks: number;
  readonly blocks: number;
  readonly bytes: number;
  /** One sentence per finding; empty when the archive is intact. */
  readonly damage: readonly string[];
  /** Remains of interrupted writes; harmless. */
  readonly remains: readonly string[];
}

/** @throws Error when the folder cannot be read */
export async function checkArchive(folder: string): Promise<ArchiveFindings> {
  const chunks = (await readdir(folder)).map(chunkOf).filter((chunk) => chunk !== undefined);
  chunks.sort((a, b) => a - b);
  const damage: string[] = [];
  const remains: string[] = [];
  let [blocks, bytes] = [0, 0];
  let before: { chunk: number; bytes: number; fileBytes: number; chain: string; wrong?: string } | undefined;
  for (const chunk of chunks) {
    const name = chunkName(chunk);
    const reading = await readThrough(folder, chunk);
    blocks += reading.blocks;
    bytes += reading.bytes;
    const { head } = reading;
    if (head === undefined) damage.push(`${name}: the first block does not verify: ${reading.wrong ?? 'it is empty'}`);
    else if (head.chunk !== chunk) damage.push(`${name}: its head names chunk ${head.chunk}`);
    const follows = head?.follows;
    if (before === undefined) {
      if (follows) damage.push(`${name}: the chunks before it, up to ${chunkName(follows.chunk)}, are missing`);
    } else if (chunk !== before.chunk + 1) {
      damage.push(`${chunkName(before.chunk + 1)}: missing`);
      tail(before, undefined);
    } else tail(before, follows ?? undefined);
    before = {
      chunk,
      bytes: reading.bytes,
      fileBytes: reading.fileBytes,
      chain: reading.chain.toString('hex'),
      ...(reading.wrong === undefined ? {} : { wrong: reading.wrong }),
    };
  }
  // No later chunk names the end of the newest one yet. Bytes that do not verify there are an interrupted write or
  // damage; reading a run from them tells which.
  if (before?.wrong !== undefined)
    remains.push(`${chunkName(before.chunk)}: from byte ${before.bytes}: ${before.wrong}`);
  return { chunks: chunks.length, blocks, bytes, damage, remains };

  function tail(at: NonNullable<typeof before>, known: { bytes: number; chain: string } | undefined): void {
    const name = chunkName(at.chunk);
    if (known === undefined) {
      if (at.wrong !== undefined) damage.push(`${name}: from byte ${at.bytes}: ${at.wrong}`);
    } else if (at.bytes < known.bytes) {
      damage.push(`${name}: from byte ${at.bytes} of ${known.bytes}: ${at.wrong ?? 'the rest is missing'}`);
    } else if (at.bytes === known.bytes && at.chain !== known.chain) {
      damage.push(`${name}: it is not the chunk that its successor names`);
    } else if (at.fileBytes > known.bytes) {
      remains.push(`${name}: ${at.fileBytes - known.bytes} bytes of an interrupted write`);
    }
  }
}
