/**
 * The byte format of an archive chunk: a sequence of blocks, each a header of 48 bytes and a compressed payload of text
 * lines. The first block holds the chunk's number and the end of the chunk before it; the others hold runs of history.
 * Pure; chunk-writer.ts, chunk-reader.ts and chunk-check.ts access the files.
 *
 *   4 `PHB1`   4 payload bytes   4 bytes unpacked   4 CRC-32 of the payload   32 chain   then the payload (zstd)
 *
 * The CRC allows a single block to be verified. The chain is the SHA-256 of the chain before it, this header's first 16
 * bytes and the payload. A changed, removed, inserted or moved block breaks the chain. The next chunk names the length
 * and the chain that it follows, so a truncated or missing chunk is noticed as well. The chain detects damage, not
 * forgery: anybody who can write the folder can compute a chain.
 */
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { ArchivePlatform } from './archive-platform.ts';

const magic = 0x50484231;
export const headerBytes = 48;
/** A header that claims a larger block is not valid. */
export const maxBlockBytes = 256 * 1024 * 1024;
/** The chain value before the first block of a chunk. */
export const chainStart: Buffer = Buffer.alloc(32);

export interface BlockHeader {
  readonly payloadBytes: number;
  readonly rawBytes: number;
  readonly crc: number;
  readonly chain: Buffer;
}

/** First line of every chunk. */
export interface ChunkHead {
  readonly node: string;
  readonly chunk: number;
  /** The verified end of the chunk before it, when this one was begun; null for the first. */
  readonly follows: { readonly chunk: number; readonly bytes: number; readonly chain: string } | null;
}

export const chunkName = (chunk: number): string => `${String(chunk).padStart(10, '0')}.chunk`;

/** @returns undefined for other files */
export function chunkOf(name: string): number | undefined {
  const match = /^(\d{10})\.chunk$/.exec(name);
  return match === null ? undefined : Number(match[1]);
}

function chainOf(before: Buffer, head: Buffer, payload: Buffer): Buffer {
  return createHash('sha256').update(before).update(head).update(payload).digest();
}

/** The bytes of one block, header included, and the chain value after it. */
export async function encodeBlock(
  lines: readonly string[],
  before: Buffer,
  { compress }: Pick<ArchivePlatform, 'compress'>,
): Promise<{ readonly bytes: Buffer; readonly chain: Buffer }> {
  const raw = Buffer.from(lines.join('\n'));
  const payload = await compress(raw);
  const header = Buffer.alloc(headerBytes);
  header.writeUInt32BE(magic, 0);
  header.writeUInt32BE(payload.length, 4);
  header.writeUInt32BE(raw.length, 8);
  header.writeUInt32BE(crc32(payload), 12);
  const chain = chainOf(before, header.subarray(0, 16), payload);
  chain.copy(header, 16);
  return { bytes: Buffer.concat([header, payload]), chain };
}

/** @returns undefined when these are not the first bytes of a block */
export function decodeHeader(bytes: Buffer): BlockHeader | undefined {
  if (bytes.length < headerBytes || bytes.readUInt32BE(0) !== magic) return undefined;
  const payloadBytes = bytes.readUInt32BE(4);
  const rawBytes = bytes.readUInt32BE(8);
  if (payloadBytes > maxBlockBytes || rawBytes > maxBlockBytes) return undefined;
  return { payloadBytes, rawBytes, crc: bytes.readUInt32BE(12), chain: Buffer.from(bytes.subarray(16, headerBytes)) };
}

/** Whether this block continues the chain that ends with `before`. */
export function continuesChain(before: Buffer, header: Buffer, payload: Buffer): boolean {
  return chainOf(before, header.subarray(0, 16), payload).equals(header.subarray(16, headerBytes));
}

/** @returns undefined when the payload does not match the header */
export async function decodePayload(
  header: BlockHeader,
  payload: Buffer,
  { decompress }: Pick<ArchivePlatform, 'decompress'>,
): Promise<readonly string[] | undefined> {
  if (payload.length !== header.payloadBytes || crc32(payload) !== header.crc) return undefined;
  const raw = await decompress(payload, maxBlockBytes);
  return raw.length === header.rawBytes ? raw.toString('utf8').split('\n') : undefined;
}
