/**
 * Encodes texts as unmasked WebSocket text frames (RFC 6455, 5.2), as a server sends them: one complete message per
 * frame. Control frames are sent by `ws`. Called by frame-sender.ts.
 */
const finalText = 0x81;
const shortest = 125;
const twoBytes = 0xffff;

/** @returns one buffer with a frame per text, in order */
export function textFrames(texts: readonly string[]): Buffer {
  const lengths = texts.map((text) => Buffer.byteLength(text));
  const frames = Buffer.allocUnsafe(lengths.reduce((sum, length) => sum + length + headBytes(length), 0));
  let at = 0;
  for (const [index, text] of texts.entries()) {
    const length = lengths[index] ?? 0;
    at = writeHead(frames, at, length);
    at += frames.write(text, at, length, 'utf8');
  }
  return frames;
}

const headBytes = (length: number): number => (length <= shortest ? 2 : length <= twoBytes ? 4 : 10);

/** @returns where the payload begins */
function writeHead(frames: Buffer, at: number, length: number): number {
  frames[at] = finalText;
  if (length <= shortest) {
    frames[at + 1] = length;
    return at + 2;
  }
  if (length <= twoBytes) {
    frames[at + 1] = 126;
    return frames.writeUInt16BE(length, at + 2);
  }
  frames[at + 1] = 127;
  return frames.writeBigUInt64BE(BigInt(length), at + 2);
}
